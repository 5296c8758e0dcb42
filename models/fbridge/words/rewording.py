"""Turns of phrase in prompts, put into plainer words before they are read."""

from __future__ import annotations

import re

from fbridge.words.inflection import IRREGULAR_PLURALS, normalise, singular
from fbridge.words.lexicon import keys, listed, word_set
from fbridge.words.spelling import without_slips
from fbridge.words.vocabulary import object_verbs

_ASKED = (
    "please ", "pls ", "plz ", "kindly ", "hey ", "hi ", "hello ", "ok ", "okay ", "now ",
    "just (?!(?:the|a|an|my|his|her|one) )",
    "maybe ", "suddenly ", "also ", "meanwhile ", "imagine ", "show me ", "show ", "add (?:some )?",
    "(?:would|do) you mind ", "(?:can|could|would|will) you ",
    "(?:can|could|may) (?:i|we) (?:see|have|get) ",
    "(?:i|we) (?:would )?(?:just )?(?:like|love|want|need|wish)"
    "(?: you to| to see| to have| to make| to get)? ",
    "(?:i|we) (?:am |are |is )?wonder(?:ing)? (?:if|whether) ",
    "(?:i|we|you) (?:can )?see ", "what (?:if|about) ", "how about ",
    "(?:what|how) would (?:it|this|that) (?:look(?: like)?|be(?: like)?) if ",
    "why (?:not|do not (?:you|we)) ", "(?:is it|would it be) possible (?:to|that|for) ",
    "is there (?:a|any) way (?:to|of|for) ", "let(?:'s| us) (?:see |have )?", "try to ",
    "what (?:we|you|i) (?:see|want|need)(?: to see)? is ", "there (?:is|are) ",
)  # fmt: skip
"""How people ask."""
_KINDS = (
    "video|clip|animation|gif|movie|film|footage|scene|shot|photo|picture|image|loop|photograph"
)
_LEAD = re.compile(
    rf"^(?:{'|'.join(_ASKED)}|"
    r"(?:a |an |the |this )?(?:short |looping |realistic |cinematic |wide |medium |macro |aerial |"
    r"bird's eye |first person |pov |close up |closeup |establishing |low angle |"
    r"high angle |extreme |beautiful )*"
    rf"(?:{_KINDS}|close up|view) (?:of|where|in which|that shows|showing|with) )+"
)
_PACED = re.compile(
    rf"^(?:a |an |the )?((?:slow|fast) motion|time ?lapse|hyperlapse) (?:{_KINDS}) of "
)
_ANIMATED = re.compile(
    r"^(?:animate|bring to life)(?: only| just)? "
    rf"((?:the|my|his|her|our|its)(?! (?:{_KINDS}|camera)\b)(?: (?!to\b|\w+ing\b)\w+){{1,3}}?"
    r"(?: and (?:the|my) \w+)?)(?: only)?$"
)
"""What is to be animated, without a verb."""
_STILL_PICTURE = re.compile(r"^(?:a |the )?still (?:picture|image|photo|photograph|life) of (.*)$")
_ARTICLE = r"(?:the|a|an|my|his|her|our|its|this)"
_OWNED = r"(?:the|my|his|her|our|its)"
_BECOMES = r"(?:turn|change|fade|become)s?(?: into| to)?"
_FIXED = r"(?:still|frozen|static|motionless|stationary|fixed|in place)"
_ALL_STILL = (
    rf"(?:everything|all)(?: else)? (?:is|are|stays?|remains?|stands?|keeps?)(?: \w+ly)? {_FIXED}|"
    rf"(?:keep|leave|make|hold) (?:everything|all)(?: else)? {_FIXED}|freeze (?:everything|all)"
)
"""That nothing moves, before what does."""
_SHOTS_BY = r"(?:(?:dolly|zoom|pan|tilt|crane|pedestal)(?! \w+s\b)|push in|pull (?:back|out))\b"
"""Motions of the camera behind an adjective."""
_BROUGHT = (
    rf"^(?:please )?(?:animate|bring to life) ({_OWNED}(?! (?:{_KINDS})\b)(?: \w+){{1,2}}?)"
    r"(?: ?[,:;.] ?(?:and )?| and )"
)
"""A thing that is to be animated, before words that say how."""
_SIDE, _RISE = r"(?:to the )?(left|right)(?:wards?)?", r"(up|down)(?:wards?)?"
_PANS = r"(pans?|panning|tilts?|tilting)"
_AND = (
    r"(?: and |~and~)(?:(?:slightly|gently|slowly|then|a bit|a little) )?"
    r"(?:(?:pan|tilt)(?:s|ning|ing)? )?"
)
"""Between two directions of one motion of the camera: "pan left and slightly up"."""
_CORNER = re.compile(
    rf"\b(?:to|towards?|into) {_ARTICLE} (?:(top|upper)|bottom|lower) (left|right)(?: corner)?\b"
)
_CAMERA = re.compile(r"\b(?:camera|pan|tilt|zoom|dolly|look)\w*\b")
_SHARE = re.compile(
    r"\b((?:about |only )?(?:half|most|some|several|many|a (?:few|couple|third|quarter)|"
    r"two|three|four|five|six)) of (?:the|these|those|my|our|his|her|their) (?=\w)"
)
"""Some of several things, of which it is not told which."""
_REWORDED = [
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\b(?!very\b|really\b)(\w{2,})(?: \1\b)+", r"\1"),
        (
            rf"\b(?:turn|switch) ({_ARTICLE}(?: \w+){{1,3}}) (?:on and off|off and on)\b",
            r"\1 flickers",
        ),
        (
            rf"\b(turn|switch)(s|es|ed|ing)? ({_ARTICLE}(?: \w+){{1,3}}) (on|off|upside down)"
            rf"(?! {_ARTICLE}\b)",
            r"\1\2 \4 \3",
        ),
        (
            r"\b(?:at first|first of all|first|next|finally|at last|last|after that|afterwards|"
            r"in the end) (?=(?:the|a|an|my|his|her|our|both|it|he|she|they|zoom|pan|tilt)\b)",
            "",
        ),
        (
            r"\bbetween ((?:the|a|an|my|his|her) (?:\w+ )?\w*[^\Ws]) "
            r"and (the|a|an|my|his|her) (\w+)",
            r"between \1~and~\2~\3",
        ),
        (rf"\bbring ({_ARTICLE}(?: \w+){{1,3}}) to life\b", r"animate \1"),
        (rf"\bmake ({_ARTICLE}(?: \w+){{1,3}}) (?:look|seem|come) alive\b", r"animate \1"),
        (r"\b(?:as well as|along with|together with)\b", "and"),
        (r"\bas (?:if|though) (?:(?!(?:and|while|then|but)\b)[^\s.,;:!?]+ *)+", ""),
        (r"\b(?:instead of|rather than) [^.,;:!?]*,", " "),
        (r"\b(?:instead of|rather than) \w+ing\b", " "),
        (rf"\bit is ({_ARTICLE}(?: \w+){{1,4}}?) (?:that|which|who)\b", r"\1"),
        (rf"\b(?:aerial|drone|cinematic|dramatic|steady|epic) (?={_SHOTS_BY})", ""),
        (rf"\bsubtle (?={_SHOTS_BY})", "slow "),
        (r"\b(camera)(?: movement| motion| work)? ?: ?", r"\1 "),
        (r"\blight (?=(?:rain|snow|drizzle|breeze|wind|shower|mist|fog|smoke)\w*)", "gentle "),
        (
            rf"\bday (?:{_BECOMES}|to|into) night\b(?! (?:sky|scene|shot|light))",
            "it gets dark",
        ),
        (
            rf"\bnight (?:{_BECOMES}|to|into) day\b(?! (?:sky|scene|shot|light))",
            "it gets bright",
        ),
        (r"\bmake it (?:look like )?night(?:time)?\b|\bnight falls\b", "it gets dark"),
        (r"\bmake it (?:look like )?day(?:time|light)?\b", "it gets bright"),
        (
            r"\b(?:turn|switch|blink|flicker|flash|go|glow|light)(?:e(?=s))?(s|ing|ed)? "
            r"(?:on and off|off and on)\b",
            r"flicker\1",
        ),
        (rf"\b{_PANS} {_SIDE}{_AND}{_RISE}\b", r"\1 \2 \3"),
        (rf"\b{_PANS} {_RISE}{_AND}{_SIDE}\b", r"\1 \2 \3"),
        (rf"\b{_PANS} {_SIDE}~and~{_SIDE}\b", r"\1 \2 and \1 \3"),
        (rf"\b{_PANS} {_RISE}~and~{_RISE}\b", r"\1 \2 and \1 \3"),
        (r"\b(zoom)(s|ing|ed)? (in|out)~and~(in|out)\b", r"\1\2 \3 and \1\2 \4"),
        (
            rf"\b(?:{_ALL_STILL}) (?:but|except|save)(?: for)? ({_ARTICLE}(?: \w+){{1,4}})"
            r"(?= *(?:$|[.,;:!?]))",
            r"only \1 moves",
        ),
        (
            rf"\bneither ({_ARTICLE} \w+) nor ({_ARTICLE} \w+) (\w+)",
            r"\1 does not \3 and \2 does not \3",
        ),
        (rf"\bspeed up ({_ARTICLE} \w+)", r"\1 moves fast"),
        (rf"\bslow down ({_ARTICLE} \w+)", r"\1 moves slowly"),
        (
            rf"\badd (?:some )?(steam|smoke|flames|fire) (?:to|on|over) (?={_ARTICLE}\b)",
            r"\1 rises from ",
        ),
        (r"\b(?:only|just) (?=(?:let|make|have|animate)\b)", ""),
        (r"\bnothing (?:but|except) (?=\w)", "only "),
        (r"\bnothing (?:else )?moves? (?:but|except)(?: for)? ([\w ]+)", r"only \1 moves"),
        (
            rf"\b(?:turn|make|convert|transform) (?:it|this|that|{_ARTICLE} (?:{_KINDS})) "
            rf"(?:in)?to an? (?:{_KINDS})\b",
            "animate this",
        ),
        (r"\ball (?:but|except)\b", "everything except"),
        (
            r"\b(every(?:thing|one|body)|all \w+) (?:but|except|besides)(?: for)?\b",
            r"\1 except",
        ),
        (rf"{_BROUGHT}(?:it|he|she|they) (?!(?:is|are)\b)", r"\1 "),
        (rf"{_BROUGHT}(make|let|have) (?:it|him|her|them) ", r"\2 \1 "),
        ("\u00b0", " degrees"),
        ("%", " percent"),
        (r"\b(?:a |the )?(?:360 )?(?:degrees? )?(?:rotation|spin) of (?=\w)", "spin "),
        (r"\bmake (.+?) (bigger|larger|smaller|brighter)\b", r"\1 gets \2"),
        (
            r"\b(?:add|give|bring)(?: some| a little| a bit of| a| more| subtle| gentle)* "
            r"(?:motion|movement|life|animation) (?:to|into|in) "
            r"(?!(?:the |this |my )?(?:picture|photo|photograph|image|scene|it|this)\b)([\w ]+)",
            r"\1 moves",
        ),
    )
]
_FLOW_NOUNS = "|".join(noun for kind in keys("flow nouns") for noun in listed("flow nouns", kind))
_FLOWING = re.compile(
    r"\b(?:on|in|under|over|through|across|beneath|below|above|against|amid|among|into|beside|with|"
    r"before|behind) (?:the |some )?((?:gently|softly|slowly|quickly|wildly|lightly) )?"
    r"(rippling|flowing|drifting|moving|shimmering|falling|waving|rustling|swaying|rolling|"
    r"crashing|rushing|blowing|rising|swirling|flickering|pouring|raging|splashing|running) "
    rf"((?:\w+ )?(?:{_FLOW_NOUNS}))"
    r"(?= *(?:$|[.,;:!?]| (?:while|and|as|when|in|on|at|to|behind|around|near|under|below)\b))"
)
"""What flows, named by the way behind all else: "a duck swims on rippling water"."""
_ONE_OF = re.compile(
    r"\b(?:only |just )?one of (?:the|these|those|my|our|his|her|their) "
    rf"((?:\w+ ){{0,3}}?)({'|'.join(IRREGULAR_PLURALS)}|\w*[^\Wsui]s)\b"
)
"""One thing of several: "one of the two red boats"."""
_SEEN_DOING = re.compile(
    rf"\b((?:zoom|push|pull|close|dolly|track|pan|mov|go|fl|look)\w*(?: (?:in|closer))? "
    rf"(?:on|onto|to|towards|toward|into|at) )({_ARTICLE} (?:[\w']+ ){{1,3}}?)(\w+ing)"
    r"(?= *(?:$|[.,;:!?]|(?:away|back|left|right|up|down|in|on|at|to|towards|through|over|across|"
    r"around|off|out|into|from|past|along|slowly|quickly|while|and|as)\b))"
)
"""What the camera goes to, with what that does: "zoom in on the bird flying away"."""
_STYLE = re.compile(
    r"\b(?:"
    + "|".join(sorted((re.escape(one) for one in listed("style", "anywhere")), reverse=True))
    + r")\b"
)
_LOOK = re.compile(
    r"\b(?:(?:in|with|give it|for) )?(?:an? |the )?(?:(?:vintage|retro|old|old school|film|filmic|"
    r"cinematic|dreamy|noir|nostalgic|moody|warm|cold|soft|faded|analog|analogue|modern|polaroid|"
    r"washed out|cartoon|comic|anime|watercolou?r|documentary|super 8|vhs|80s|90s) )+"
    r"(?:look|style|mood|vibe|feel|feeling|tones?|colou?r grading|grading)\b"
)
"""How a video shall look, of which nothing is shown."""
_SHOW = re.compile(r"\b(fashion|talk|game|quiz|reality|horse|dog|air) show\b(?! \w+s\b)")
_GREETS = re.compile(
    r"\b((?:smile|stand|sit|nod|turn|laugh|jump|walk|dance|grin|bow|wink)s) and waves"
    r"(?= *(?:$|[.,;:!?]| (?:to|at|hello|goodbye|while|and)\b))"
)
"""Waves with a hand, and not the sea's."""
_LOOPS = re.compile(
    r"\b(?:in an? (?:\w+ )?loop|on (?:a )?(?:loop|repeat)|"
    r"(?:seamless|perfect|endless|infinite)(?:ly)? loop(?:ing|ed)?|"
    r"loop(?:s|ing)? (?:seamlessly|perfectly|endlessly|forever|video|gif))\b"
)
_IN_ORDER = re.compile(r"\b(?:then|afterwards|after that|next (?:the|a|it|he|she|they)|finally)\b")


def reworded(prompt: str) -> str:
    """A prompt in one form, without words of style."""
    text = re.sub(r"[\"()\[\]{}<>*_#|/]", " ", without_slips(normalise(prompt)))
    text = _SHOW.sub(r"\1", _GREETS.sub(r"\1 and it waves", _LOOK.sub(",", text)))
    text = _STYLE.sub(" ", text)
    for pattern, by in _REWORDED:
        text = pattern.sub(by, text)
    text = _SHARE.sub("the ", text)
    if not _CAMERA.search(text):
        text = _CORNER.sub(lambda found: f"{'up' if found[1] else 'down'} to the {found[2]}", text)
        text = re.sub(r"\b(top|upper|bottom|lower) (left|right)\b", r"\1~\2", text)
    text = _SEEN_DOING.sub(_seen_doing, text)
    text = _FLOWING.sub(lambda found: f", {found[1] or ''}{found[3]} {found[2]},", text)
    return _ONE_OF.sub(lambda found: f"the {found[1]}{singular(found[2])}", text)


def _seen_doing(found: re.Match[str]) -> str:
    """The goal of the camera, and a statement about it; nothing of nouns in -ing."""
    verb = object_verbs().at([found[3]], 0)
    moves = (
        verb is not None and verb.form == "ing" and bool(verb.value.motion or verb.value.travels)
    )
    if not moves or found[3] in word_set("nouns in ing") | word_set("nouns before verbs"):
        return found[0]
    return f"{found[1]}{found[2].rstrip()} while {found[2]}{found[3]}"


def without_lead(sentence: str) -> str:
    """A sentence without how it is asked for; "still life of a cup" says that a cup stays."""
    spoken = _PACED.sub(r"\1 ", " ".join(sentence.split()))
    spoken = _ANIMATED.sub(r"\1 moves", _LEAD.sub("", spoken))
    return _STILL_PICTURE.sub(r"\1 stays still", spoken)


def tells_an_order(prompt: str) -> bool:
    """Whether a prompt tells of one thing after another."""
    return _IN_ORDER.search(prompt.lower()) is not None


def tells_a_share(prompt: str) -> str:
    """The words for how many of several things are meant, which are not followed; or ""."""
    found = _SHARE.search(normalise(prompt))
    return found[1] if found else ""


def tells_a_loop(prompt: str) -> str:
    """The words that ask for a video whose end meets its beginning, which none does; or ""."""
    found = _LOOPS.search(normalise(prompt))
    return found[0] if found else ""
