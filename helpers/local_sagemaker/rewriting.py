"""The literal `/opt/ml` replaced by a real folder, for machines on which nothing can be bound there."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

_LITERAL = re.compile(rb"/opt/ml(?![\w.-])")
_LARGEST = 8 * 1024 * 1024


def rewrite(text: str, ml_root: Path) -> str:
    """The text with every `/opt/ml` replaced by `ml_root`; `/opt/mlflow` and the like stay."""
    return rewrite_bytes(text.encode(), ml_root).decode()


def rewrite_bytes(content: bytes, ml_root: Path) -> bytes:
    """Like `rewrite`, for the content of a file."""
    return _LITERAL.sub(str(ml_root).replace("\\", "\\\\").encode(), content)


def rewrite_folders(folders: Iterable[Path], ml_root: Path) -> None:
    """Rewrites the text files below the folders, those inside their `.tar.gz` archives too.

    Files that hold a zero byte or exceed 8 MiB are data and stay as they are. Running twice changes nothing.
    """
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
                continue
            content = path.read_bytes()
            if path.name.endswith((".tar.gz", ".tgz")):
                changed = _rewrite_archive(content, ml_root)
            elif b"\0" in content:
                continue
            else:
                changed = _rewrite_once(content, ml_root)
            if changed != content:
                path.write_bytes(changed)


def _rewrite_once(content: bytes, ml_root: Path) -> bytes:
    """A root that itself lies below an `/opt/ml` would be rewritten again and again without this."""
    root = str(ml_root).encode()
    return root.join(rewrite_bytes(part, ml_root) for part in content.split(root))


def _rewrite_archive(content: bytes, ml_root: Path) -> bytes:
    changed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as source,
        tarfile.open(fileobj=changed, mode="w:gz", compresslevel=1) as target,
    ):
        differs = False
        for member in source.getmembers():
            body = source.extractfile(member).read() if member.isfile() else None
            if body is not None and b"\0" not in body:
                new = _rewrite_once(body, ml_root)
                differs |= new != body
                body, member.size = new, len(new)
            target.addfile(member, io.BytesIO(body) if body is not None else None)
    return changed.getvalue() if differs else content
