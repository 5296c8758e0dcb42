"""The layouts of video collections that `fbridge prepare SOURCE` reads.

The layouts are tried in this order, and the first that fits is taken; `Layout.summary` says which.

1. `webvid`: `results_*.csv` with the columns videoid, name and page_dir.
2. `videofolder`: `metadata.csv`, `.jsonl` or `.parquet` with a column file_name, in the folder or
   in that of a split.
3. `lists`: `videos.txt` and `prompts.txt` (or `captions.txt`, or either in the singular).
4. `ucf101`: `trainlist0N.txt`, `testlist0N.txt` or `classInd.txt`, or class folders with clips
   called `v_<Class>_gNN_cNN.avi`.
5. `msrvtt`: `.json` with "videos" and "sentences" (unless the folder has more than eight).
6. `webdataset`: `.tar` files; if there are loose videos too, `--layout` must be given.
7. `table`: one `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet` with a column for the video.
8. `folder`: any other folder.

A SOURCE that is a file is a table, a WebVid table, an MSR-VTT json or a tar. Videos are listed one
by one; only a json and UCF-101's lists are held in memory. A video that cannot be used is an entry
with a reason. Captions are joined by key, not by position. The summary names tables and lists in
the source that are not read.
"""

from fbridge.choices import LAYOUTS
from fbridge.data.sources.detect import find_layout
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.sources.layout import Layout

__all__ = ["LAYOUTS", "Entry", "Layout", "Media", "find_layout"]
