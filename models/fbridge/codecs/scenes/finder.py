"""Finds the pixels that a noun means in one picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.matting import resize
from fbridge.codecs.scenes.closer import FAINT as SEEN
from fbridge.codecs.scenes.closer import (
    FEWEST,
    Area,
    Look,
    alone,
    close_by,
    elsewhere,
    overlap,
    sharper,
    shown_in,
)
from fbridge.codecs.scenes.features import CLASSES, Features, packaged_features
from fbridge.codecs.scenes.legs import LEGGED
from fbridge.codecs.scenes.matting import refine
from fbridge.codecs.scenes.neighbours import OTHER, without_neighbours
from fbridge.codecs.scenes.nouns import is_plural, not_found, packaged_nouns
from fbridge.codecs.scenes.segmenter import MaskDecoder, find_mask, working_size
from fbridge.codecs.scenes.which import Answer, choose, focus_maps, parted
from fbridge.words.which import THINGS, told_apart

UNSEEN = 0.02
"""Probability below which no place shows what a noun names. Of 52 photographs 5 have such a right
noun, and of 19 wrong nouns 10."""
SAME, SURE = 0.5, 0.25
"""Where masks of a noun and of the main thing overlap by more than `SAME`, as intersection over
union, and no place in them shows the noun's classes with a probability of `SURE`, it is the main
thing."""
MAIN = 0.85
"""Overlap from which on a mask is the main thing's, which is said where a noun is not surely seen.
Of 64 nouns on new photographs 9 were such, of which 8 moved something else."""
LIKELY, UNLIKELY = 8, 20
"""Of the thousand classes, ordered by how they fit all of the part of the picture around a mask: a
noun is recognised there if one of its classes is among the first so many, and another thing may be
taken if none is. Of 31 nouns with the main thing's mask that are hardly seen the three right ones
and three of 28 wrong ones are among the first; of 12 with another mask the ten wrong ones and a
bird for which a lamp was taken are beyond. People have too many classes, none of their own."""
SHOWN = 0.1
"""Where a noun is seen clearly: least probability in the part that is taken, as a share of the
greatest in the mask."""
MISSED = 0.5
"""Where a noun is seen, as a share of its greatest probability, at least somewhere in its mask."""
FAR_OFF, RIM = 0.5, 0.015
"""Distance from which on a part is none of a thing, as a share of the side of a square like it; and
how far its soft edge reaches, as a share of the picture's shorter side."""
JOINED = 0.25
"""Mask from which on parts are joined: of what is seen faintly only pieces are above a half."""
ALL_OVER = 0.55
"""Share of a mask's places with at least half of the greatest probability, from which on a noun is
seen all over it: 0.71 of a cat that fills its picture, at most 0.44 of five wrong masks that do."""
_TAKEN, _OTHER = "what stands out is taken", "another thing may be taken"


class Finder:
    """Masks of nouns in one picture; the features are computed when first asked for, and once.

    The networks run on `device`, all else on the CPU.
    """

    def __init__(self, decoder: MaskDecoder, picture: Tensor, device: torch.device) -> None:
        self.decoder, self.picture, self.device = decoder, picture, device
        self.remarks: list[str] = []
        self._features: Features | None = None
        self._masks: dict[str, Tensor] = {}
        self._classes: dict[str, Tensor] = {}
        self._parted: set[str] = set()

    def mask(self, noun: str) -> Tensor:
        """(H, W) in [0, 1]; of the main thing where nothing is found under that noun."""
        if noun not in self._masks:
            mask = self._mask(noun)
            self._masks[noun] = mask if not noun or is_plural(noun) else without_scraps(mask)
        return self._masks[noun]

    def thing(self, noun: str) -> Tensor:
        """(H, W) mask of what a noun names; it is said where nothing shows that it is there."""
        before = len(self.remarks)
        mask = self.mask(noun)
        if len(self.remarks) == before and self._named(noun).any():
            self.remarks += [line] if (line := self._doubt(mask, noun)) else []
        slip, meant = packaged_nouns().slip(noun)
        self.remarks += [f"{slip!r} is read as {meant!r}"] if slip else []
        return mask

    def _doubt(self, mask: Tensor, noun: str) -> str:
        """What is to be said of a mask that may be another thing's; or ""."""
        sure, are = self.sureness(noun), _is(noun)
        same = overlap(mask, self.mask(""))
        people = self.is_person(noun)
        if sure >= UNSEEN and self._misses(mask, noun):
            around = f"the {noun} {are} not told from what is around {_it(noun)}"
            if same > SAME:
                return f"{around}; {_TAKEN}"
            if sure >= SEEN and not people:
                return f"{around}; {_OTHER}"
        if sure >= SURE:
            return ""
        rank = (LIKELY + UNLIKELY) // 2 if people else self._rank(mask, noun)
        hardly = f"the {noun} {are} hardly recognised in the picture"
        if rank < LIKELY:
            return ""
        if sure < UNSEEN:
            return f"no {noun} {are} recognised in the picture; {_TAKEN}"
        if same > MAIN:
            return f"{hardly}; {_TAKEN}"
        return f"{hardly}; {_OTHER}" if rank >= UNLIKELY else ""

    def _rank(self, mask: Tensor, noun: str) -> int:
        """How many classes are likelier than the noun's likeliest where a mask (H, W) is."""
        if not (mask > 0.5).any():
            return CLASSES
        rows, columns = close_by(mask)
        part = self._look(self.picture[:, rows, columns])
        likely = part.classes[0].mean((1, 2)).cpu()
        return int((likely > likely[self._named(noun)].max()).sum())

    def fine(self, noun: str) -> Tensor:
        """(H, W) opacity in the picture."""
        return refine(self.picture, self.mask(noun)[None], [self.has_legs(noun)])[0]

    def has_legs(self, noun: str) -> bool:
        """Whether a noun names animals, or furniture that stands on legs."""
        return bool(self._named(noun)[list(LEGGED)].any())

    def is_person(self, noun: str) -> bool:
        """Whether a noun names people."""
        return torch.equal(self._named(noun), self._named("person"))

    def alike(self, noun: str) -> Tensor:
        """(H, W) all that a noun may name, of which one thing may be meant; 0 where it is not seen.

        Of a noun that is hardly seen the mask may be all that there is but the sky.
        """
        named = self._named(noun)
        if not named.any() or self.sureness(noun) < SURE:
            return torch.zeros_like(self.picture[0])
        return _enlarged(self._all(self._looked(), named.to(self.device)), _size(self.picture[0]))

    def seen(self, noun: str) -> Tensor | None:
        """(H, W) opacity of what a noun names; None where that cannot be told from the main thing.

        For things that are but part of a picture, such as flags.
        """
        named = self._named(noun)
        if not named.any():
            return None
        mask, shown = self.mask(noun), self.shown(named)
        inside = float((shown * resize(mask[None, None], _size(shown))[0, 0]).amax())
        taken = overlap(mask, self.mask("")) > SAME and inside < SURE
        return None if taken else self.fine(noun)

    def sureness(self, noun: str) -> float:
        """The probability that the noun's classes have where they are likeliest."""
        return float(self.shown(self._named(noun)).amax())

    def _misses(self, mask: Tensor, noun: str) -> bool:
        """Whether a mask has no place where the noun is about as likely as where it is likeliest.

        So it is for a small person, too, whose mask is right and no main thing: people are hardly
        seen by the network's classes. Of 52 held-out photographs it is so of no other noun that is
        seen with at least `SEEN`, and of six on new ones, each of which has another thing's mask.
        """
        return self._sureness_in(mask, noun) < MISSED * self.sureness(noun)

    def is_all_over(self, noun: str) -> bool:
        """Whether a noun is seen in most of its mask; of the main thing it need not be."""
        named = self._named(noun)
        if not named.any():
            return not noun
        seen = self.shown(named)
        inside = resize(self.mask(noun)[None, None], _size(seen))[0, 0] > 0.5
        places = seen[inside] >= 0.5 * seen.amax()
        return bool(places.any()) and float(places.float().mean()) >= ALL_OVER

    def _sureness_in(self, mask: Tensor, noun: str) -> float:
        """The same in the places of which a mask (H, W) covers something."""
        return shown_in(mask, self.shown(self._named(noun)))

    def shown(self, classes: Tensor) -> Tensor:
        """(h, w) probability that a place shows one of the classes, given as indices or (1000,)."""
        local = self._looked().classes[0].softmax(0)
        return local[classes.to(self.device)].sum(0).cpu()

    def _named(self, noun: str) -> Tensor:
        """(1000,) bool: the classes of a noun; words of no list are compared with all that are."""
        if noun not in self._classes:
            self._classes[noun] = packaged_nouns().named(noun)
        return self._classes[noun]

    def _mask(self, noun: str) -> Tensor:
        named = self._named(noun).to(self.device)
        nameless = noun.split()[-1:] in ([one] for one in THINGS) and bool(_told(noun))
        if noun and not named.any() and not nameless:
            self.remarks.append(f"{noun!r} names no class that the model knows; {_TAKEN}")
        before = len(self.remarks)
        found = self._told_apart(named, noun)
        several = found is not None or len(self.remarks) > before
        if found is None:
            found = self._one(self._looked(), named, noun)
        if noun and float(found.mean()) < FEWEST:
            self.remarks.append(f"{not_found(noun)}; {_TAKEN}")
            return self.mask("")
        whole = _enlarged(found, _size(self.picture[0]))

        def look(area: Area) -> Tensor:
            return self._in_part(area, lambda features: self._one(features, named, noun))

        def look_at_all(area: Area) -> Tensor:
            return self._in_part(area, lambda features: self._all(features, named))

        if several or not named.any():
            return self._sharpened(whole, look, noun)
        # Pieces are told from each other at the end: one that is split off its thing is none.
        seen = self.shown(named)
        for another in (alone, elsewhere):
            better = another(whole, seen, look_at_all)
            if better is not None:
                return better if is_plural(noun) else one_thing(better, seen)
        return sharper(whole, look)

    def _sharpened(self, whole: Tensor, look: Look, noun: str) -> Tensor:
        if noun in self._parted:
            return whole  # a closer look would find both things again
        return sharper(whole, look, SAME if _told(noun) else None)

    def _looked(self) -> Features:
        if self._features is None:
            self._features = self._look(self.picture)
        return self._features

    def _look(self, picture: Tensor) -> Features:
        small = resize(picture[None], working_size(*picture.shape[1:]))
        features: Features = packaged_features().to(self.device)(
            small.contiguous(memory_format=torch.channels_last).to(self.device)
        )
        return features

    def _all(self, features: Features, named: Tensor) -> Tensor:
        """(h, w) all that a noun may mean."""
        return find_mask(self.decoder, features, named[None])[0].cpu()

    def _one(self, features: Features, named: Tensor, noun: str) -> Tensor:
        """The same, of several things the one that is meant."""
        found = self._all(features, named)
        if is_plural(noun):
            return found
        return one_thing(found, features.classes[0].softmax(0)[named].sum(0).cpu())

    def _told_apart(self, named: Tensor, noun: str) -> Tensor | None:
        """(h, w) of the one of several things that "the left parrot" means; None of one alone."""
        told = _told(noun)
        if not told:
            return None
        looked = self._looked()
        focus = focus_maps(*looked.classes.shape[2:]).to(self.device)
        many = len(focus)
        alike = Features(
            tuple(part.expand(many, -1, -1, -1) for part in looked.maps),
            looked.classes.expand(many, -1, -1, -1),
        )
        masks = find_mask(self.decoder, alike, named.expand(many, -1), focus).cpu()
        seen = self.shown(named) if named.any() else focus[0].cpu()
        found, answer = choose(masks, seen, self.picture, told, several=is_plural(noun))
        if answer is Answer.OTHER:
            self.remarks.append(f"{not_found(noun)}; {_TAKEN}")
        elif answer is Answer.JOINED:
            both = one_thing(masks[0], seen)
            if (alone := parted(both, seen, told)) is not None:
                self._parted.add(noun)
                return alone
            around = f"what is around {_it(noun)}"
            self.remarks.append(f"the {noun} {_is(noun)} not told from {around}; {_TAKEN}")
        return found

    def _in_part(self, area: Area, find: Callable[[Features], Tensor]) -> Tensor:
        """(h, w) the mask that is found in a part of the picture, at its own size."""
        part = self.picture[:, area[0], area[1]]
        return _enlarged(find(self._look(part)), _size(part[0]))


def _told(noun: str) -> tuple[str, ...]:
    return told_apart(packaged_nouns().adjectives(noun))


def _is(noun: str) -> str:
    return "are" if is_plural(noun) else "is"


def _it(noun: str) -> str:
    return "them" if is_plural(noun) else "it"


def _size(mask: Tensor) -> tuple[int, int]:
    return mask.shape[0], mask.shape[1]


def one_thing(mask: Tensor, seen: Tensor) -> Tensor:
    """A mask (h, w) without other things: its greatest part that shows the noun, and small ones.

    Parts of a quarter of that one or more are things of their own; smaller ones may belong to the
    thing, such as what shows of it behind a post. A pencil that is seen is taken, and not the
    larger telephone beside it.

    Args:
        mask: in [0, 1].
        seen: (h', w') probability of the noun; all 0 of one that names no class.
    """
    import cv2

    mask = without_neighbours(mask, seen)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).byte().cpu().numpy())
    if count <= 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA]
    evidence = resize(seen[None, None], _size(mask))[0, 0]
    parts = [torch.from_numpy(labels == number) for number in range(1, count)]
    shown = [float(evidence[part].amax()) for part in parts]
    least = SHOWN * max(shown) if float(seen.amax()) >= SURE else 0.0
    weight = [
        float(mask[part].sum()) * (here >= least) for part, here in zip(parts, shown, strict=True)
    ]
    first = 1 + max(range(count - 1), key=weight.__getitem__)
    others = [k for k in range(1, count) if k != first and areas[k] >= OTHER * areas[first]]
    gone = torch.from_numpy(np.isin(labels, others)).float()
    near = F.max_pool2d(gone[None], 5, 1, 2)[0] * torch.from_numpy(labels != first)
    return mask * (1 - near.to(mask))


def without_scraps(mask: Tensor) -> Tensor:
    """A mask (H, W) of one thing without small parts far from its greatest, which are none of it.

    They are left out in the end alone, for what is looked at again depends on all that was found.
    """
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).byte().numpy())
    if count <= 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    first = 1 + int(areas.argmax())
    away = cv2.distanceTransform((labels != first).astype(np.uint8), cv2.DIST_L2, 5)
    far = FAR_OFF * float(areas.max()) ** 0.5
    _, joined = cv2.connectedComponents((mask > JOINED).byte().numpy())
    own = joined[labels == first][0]
    gone = [
        k
        for k in range(1, count)
        if joined[labels == k][0] != own and away[labels == k].min() > far
    ]
    scraps = torch.from_numpy(np.isin(labels, gone) & (labels != first)).float()
    rim = max(2, round(RIM * min(mask.shape)))
    near = F.max_pool2d(scraps[None], 2 * rim + 1, 1, rim)[0] * torch.from_numpy(labels != first)
    return mask * (1 - near.to(mask))


def _enlarged(mask: Tensor, size: tuple[int, int]) -> Tensor:
    larger = F.interpolate(mask[None, None], size, mode="bicubic", align_corners=False)
    return larger[0, 0].clamp(0, 1)
