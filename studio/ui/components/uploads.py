"""Inputs for uploaded files that keep the names the files had, and the folders they were chosen with."""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.datasets.sources import UploadedFile


class FilesInput(gr.File):
    """File component whose value is a list of `UploadedFile`."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """The uploaded files with their own names; Gradio keeps a file without the braces and quotes in its name."""
        return uploaded(payload)

    def postprocess(self, value: Any) -> Any:
        """Paths and uploaded files, which keep their names."""
        if not value:
            return super().postprocess(value)
        files = [UploadedFile(Path(v), Path(v).name) if isinstance(v, str) else v for v in value]
        out: Any = super().postprocess([str(file.path) for file in files])
        for file, data in zip(files, out, strict=True):
            data.orig_name = file.name
        return out


class FolderButton(gr.UploadButton):
    """Button that uploads a folder with its sub-folders (file_count="directory"); its value is a list of `UploadedFile`.

    The page's script gives each file the path within the folder as its name, of which Gradio would send the last part alone.
    """

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """The uploaded files with their paths within the folder."""
        return uploaded(payload)


def uploaded(payload: Any) -> list[UploadedFile] | None:
    """The files of an upload as Gradio hands them over, one or several; None when there are none."""
    if payload is None:
        return None
    files = payload if isinstance(payload, list) else list(getattr(payload, "root", [payload]))
    return [UploadedFile(Path(f.path), f.orig_name or Path(f.path).name) for f in files]
