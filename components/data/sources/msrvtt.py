"""`msrvtt`: the JSON of MSR-VTT (Xu et al. 2016), clips with twenty sentences each.

{"videos": [{"video_id": "video0", "split": "train"}, ...],
 "sentences": [{"video_id": "video0", "caption": "a man drives", "sen_id": 7}, ...]}
"""

from pathlib import Path

from components.data.sources.base import Raw
from components.data.sources.json_files import entries, read_json
from components.data.sources.video import Video


class MsrVtt(Video):
    """Clips lie in `data.images`, or in a folder that is found, named by their ids."""

    name = "msrvtt"

    def read(self, workdir: Path) -> Raw:
        """Videos and sentences of all files, such as that of the test split."""
        images, captions = [], []
        for file, split in self.annotation_files().items():
            content = read_json(file)
            for number, video in enumerate(entries(file, content, "videos")):
                name = video.get("video_id")
                images.append(
                    {
                        "image_id": name,
                        "file": name,
                        "split": split or video.get("split"),
                        "beside": file.parent,
                        "row": f"{file.name}: videos[{number}]",
                    }
                )
            for number, sentence in enumerate(entries(file, content, "sentences")):
                row = f"{file.name}: sentences[{number}]"
                captions.append(
                    {"image_id": sentence.get("video_id"), "caption": sentence.get("caption"), "row": row}
                )
        return self.tables(images, captions)
