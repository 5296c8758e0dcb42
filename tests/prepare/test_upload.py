"""Data sets that are made into a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.stores import Store, StoreError, StoreUrl, parse_url
from fbridge.data.stores.url import parse_target
from fbridge.errors import ConfigError, DataError
from fbridge.prepare import PrepareRequest, Rank, prepare, verify
from fbridge.prepare.run import Progress
from fbridge.prepare.upload import local_folder
from fbridge.prepare.verification import VerifyResult
from tests.data.sources.trees import plant
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import Faults
from tests.prepare.sets import Inline, Order, film, run, tree


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fbridge.prepare.engine.Workers", Inline)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for number in range(5):
        film(tmp_path / "films" / f"{number}.mp4", number)
    return tmp_path / "films"


@pytest.fixture
def into(order: Order, fill: Fill, films: Path, tmp_path: Path) -> Order:
    """A request whose data set goes into a new bucket; shards have two clips."""
    bucket = fill(plant(tmp_path / "nothing", {".x": b""}))
    url = StoreUrl(f"{bucket.parent.parent}/latents")
    common: dict[str, Any] = {"source": films, "workers": 1, "shard_rows": 2, "batch_size": 1}
    return partial(order, **common, out=local_folder(url), store=url)


def stored(url: StoreUrl, folder: Path) -> dict[str, str]:
    """sha256 of every file of a data set in a store, which is copied to a folder."""
    store = Store(url)
    for item in store.items():
        store.download(item, folder / item.name)
    return tree(folder)


def verdict(place: Path | StoreUrl) -> VerifyResult:
    *_, last = verify(place)
    assert isinstance(last, VerifyResult)
    return last


def url_of(request: PrepareRequest) -> StoreUrl:
    assert request.store is not None
    return request.store


def test_it_is_the_local_one_and_leaves_nothing_here(
    into: Order, order: Order, films: Path, tmp_path: Path
) -> None:
    request = into()
    run(request)
    local = order(source=films, out=tmp_path / "local", workers=1, shard_rows=2, batch_size=1)
    run(local)
    assert stored(url_of(request), tmp_path / "copy") == tree(local.out)
    assert "very-secret" not in (tmp_path / "copy" / "index.json").read_text()
    assert not request.out.exists()
    found = verdict(url_of(request))
    assert found.ok
    assert (found.rows, found.sources_checked) == (5, 5)


def test_new_videos_are_added_and_nothing_is_encoded_again(
    into: Order, films: Path, tmp_path: Path, proxy: Faults
) -> None:
    run(into())
    first = stored(url_of(into()), tmp_path / "first")
    film(films / "9.mp4", 9)
    proxy.asked.clear()
    events = run(into())
    done = [event.done for event in events if isinstance(event, Progress)]
    assert max(done[-4:]) == 1
    assert not [path for method, path, _ in proxy.asked if method == "GET" and "/shards/" in path]
    second = stored(url_of(into()), tmp_path / "second")
    kept = {name for name in first if name.startswith("shards/")}
    assert {name: second.get(name) for name in kept} == {name: first[name] for name in kept}
    assert len([name for name in second if name.startswith("manifest")]) == 1
    assert verdict(url_of(into())).rows == 6


def until(request: PrepareRequest, done: int) -> Iterator[None]:
    """A run that is cut off when `done` clips are encoded."""
    for event in prepare(request):
        if isinstance(event, Progress) and event.what == "encoding" and event.done == done:
            return
        yield


def test_a_killed_upload_shows_no_half_set_and_goes_on(into: Order, proxy: Faults) -> None:
    request = into()
    for _ in until(request, 3):
        pass
    names = [item.name for item in Store(url_of(request)).items()]
    assert [name for name in names if name.startswith("shards/")]
    assert "index.json" not in names
    with pytest.raises(DataError, match="holds no finished data set"):
        verdict(url_of(request))
    holes = [path for path in request.out.rglob("shards/*/*") if path.stat().st_blocks == 0]
    assert len(holes) == 1
    proxy.asked.clear()
    run(request)
    assert verdict(url_of(request)).ok
    put = [path for method, path, _ in proxy.asked if method == "PUT" and "/shards/" in path]
    assert len(put) == 2


def test_a_shard_that_left_the_bucket_meanwhile_is_made_again(into: Order) -> None:
    request = into()
    for _ in until(request, 3):
        pass
    store = Store(url_of(request))
    store.remove([item.name for item in store.items() if item.name.startswith("shards/")])
    run(request)
    assert verdict(url_of(request)).ok


def test_a_fault_in_the_last_upload_leaves_the_old_set(
    into: Order, films: Path, proxy: Faults
) -> None:
    run(into())
    film(films / "9.mp4", 9)
    wrong = "503"
    proxy.rule = lambda m, path, _: wrong if m == "PUT" and path.endswith("index.json") else ""
    with pytest.raises(StoreError, match=r"index.json: answered 503|index.json: answered: "):
        run(into())
    proxy.rule = lambda *_: ""
    assert verdict(url_of(into())).rows == 5
    run(into())
    assert verdict(url_of(into())).rows == 6


def test_damage_in_the_store_is_found(into: Order, tmp_path: Path) -> None:
    run(into())
    url = url_of(into())
    store = Store(url)
    shards = sorted(item.name for item in store.items() if item.name.startswith("shards/"))
    (tmp_path / "bad").write_bytes(b"x" * 100)
    store.upload(tmp_path / "bad", shards[0])
    store.remove([shards[1]])
    found = verdict(url)
    reasons = {damage.what: damage.reason for damage in found.damaged}
    assert reasons == {shards[0]: "is damaged beyond reading", shards[1]: "is missing"}


def test_what_is_no_data_set_stays(into: Order, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    Store(url_of(into())).upload(tmp_path / "letter", "letter.txt")
    with pytest.raises(DataError, match="holds other things than a data set"):
        run(into())


def test_no_bucket_and_other_options_are_told_before_the_work(into: Order) -> None:
    nowhere = StoreUrl("s3://there-is-no-such-bucket/latents")
    with pytest.raises(ConfigError, match="-o s3://there-is-no-such-bucket/latents: cannot be wr"):
        run(into(store=nowhere, out=local_folder(nowhere)))
    run(into())
    with pytest.raises(ConfigError, match=f"^{url_of(into())}: was begun with other options"):
        run(into(dtype="float32"))
    source = url_of(into()).parent
    with pytest.raises(ConfigError, match=f"lies in {source}, which is only read"):
        run(into(source=source))
    with pytest.raises(ConfigError, match="is written by one process"):
        run(into(rank=Rank(0, 2)))


def test_a_dry_run_writes_nothing(into: Order) -> None:
    request = into()
    run(request, dry_run=True)
    with pytest.raises(StoreError, match="there is no such object"):
        list(Store(url_of(request)).items())


def test_what_is_only_read_is_refused() -> None:
    for text in ("https://host/latents", "http://host/latents"):
        with pytest.raises(ConfigError, match="is only read; write to s3://"):
            parse_target(text, "-o")
    assert parse_target("latents", "-o") is None
    assert parse_url("s3://bucket/a", "-o") == parse_target("s3://bucket/a", "-o")


def test_a_bucket_that_may_not_be_listed_is_not_an_empty_one(into: Order, proxy: Faults) -> None:
    """In one that may be written, a data set was begun over the one that is there."""
    request = into()
    run(request)
    before = Store(url_of(request)).item("index.json")
    proxy.rule = lambda _, path, __: "403" if "latents" not in path else ""  # of names
    with pytest.raises(StoreError, match=f"^{url_of(request)}: access is denied"):
        run(request)
    proxy.rule = lambda *_: ""
    assert Store(url_of(request)).item("index.json") == before
