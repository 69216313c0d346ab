"""Files of the fake API: uploads as forms, and what batches write."""

from __future__ import annotations

import re

from llmkit.testing.fake.records import CREATED, ApiError, FakeRequest, JSONObject

_BOUNDARY = re.compile(r'multipart/form-data;.*boundary="?([^";]+)')
_NAME = re.compile(rb'name="([^"]*)"(?:; filename="([^"]*)")?')


class StoredFiles:
    """What has been uploaded or written, by id."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[JSONObject, bytes]] = {}

    def add(self, file_id: str, content: bytes, *, name: str, purpose: str) -> JSONObject:
        """Keep a file and describe it as the API does."""
        described = {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": CREATED,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        self._files[file_id] = described, content
        return described

    def upload(self, request: FakeRequest, number: int) -> JSONObject:
        """Keep the file of a form."""
        fields = _form(request)
        name, content = fields.get("file", ("", b""))
        purpose = fields.get("purpose", ("", b""))[1].decode()
        return self.add(f"file-fake-{number}", content, name=name, purpose=purpose)

    def find(self, file_id: str) -> tuple[JSONObject, bytes] | ApiError:
        """A file's description and content."""
        missing = ApiError(status=404, message=f"No such File object: {file_id}", param="id")
        return self._files.get(file_id, missing)

    def delete(self, file_id: str) -> JSONObject:
        """Forget a file."""
        self._files.pop(file_id, None)
        return {"id": file_id, "object": "file", "deleted": True}


def _form(request: FakeRequest) -> dict[str, tuple[str, bytes]]:
    """The fields of a form: the name of a file, and the content."""
    found = _BOUNDARY.match(request.headers.get("content-type", ""))
    fields: dict[str, tuple[str, bytes]] = {}
    for part in request.content.split(b"--" + found[1].encode()) if found else ():
        head, _, content = part.partition(b"\r\n\r\n")
        if name := _NAME.search(head):
            fields[name[1].decode()] = (name[2] or b"").decode(), content.removesuffix(b"\r\n")
    return fields
