"""A bucket on loopback, as much of S3 as a client of objects needs, that fails when it is told to.

What it cannot show, that a real implementation of S3 is understood, `test_moto.py` shows against another one.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Server(ThreadingHTTPServer):
    """``objects`` by key. The next ``failing`` requests of a method in ``methods`` get ``status``; ``damaged`` keys come back changed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.numbers = itertools.count(1)
        self.failing, self.status, self.methods = 0, 503, {"GET", "PUT", "POST", "DELETE", "HEAD"}
        self.damaged: set[str] = set()
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        own = self.server
        own.seen.append(f"{self.command} {self.path}")
        if own.failing and self.command in own.methods:
            own.failing -= 1
            self.answer(own.status, b"<Error><Code>Failed</Code><Message>AKIA-SECRET-IN-MESSAGE?X-Amz-Signature=abc</Message></Error>")
            return
        getattr(self, f"on_{self.command.lower()}")(key, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815  the base class looks for these names

    def on_get(self, key: str, query: dict[str, str], body: bytes) -> None:
        own = self.server
        if "list-type" in query:
            prefix = query.get("prefix", "")
            found = [one for one in sorted(own.objects) if one.startswith(prefix) and "/" not in one[len(prefix) :]]
            listed = "".join(
                f"<Contents><Key>{escape(one)}</Key><LastModified>2026-11-24T21:30:00.000Z</LastModified>"
                f"<ETag>x</ETag><Size>{len(own.objects[one])}</Size></Contents>"
                for one in found
            )
            self.answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>".encode())
            return
        content = own.objects.get(key)
        if content is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        if key in own.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
            self.answer(206, content[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(content)}"})
            return
        self.answer(200, content)

    on_head = on_get

    def on_put(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.server.objects[key] = body
        self.answer(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def on_post(self, key: str, query: dict[str, str], body: bytes) -> None:
        own = self.server
        if "uploads" in query:
            upload = str(next(own.numbers))
            own.uploads[upload] = {}
            self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode())
        elif "uploadId" in query:
            parts = own.uploads.pop(query["uploadId"])
            own.objects[key] = b"".join(parts[number] for number in sorted(parts))
            self.answer(200, b'<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>')
        else:
            going = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for gone in going:
                own.objects.pop(gone, None)
            told = "".join(f"<Deleted><Key>{gone}</Key></Deleted>" for gone in going)
            self.answer(200, f"<DeleteResult>{told}</DeleteResult>".encode())

    def on_delete(self, key: str, query: dict[str, str], body: bytes) -> None:
        self.server.objects.pop(key, None)
        self.answer(204, b"")

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"ETag": '"x"', "Last-Modified": "Tue, 24 Nov 2026 21:30:00 GMT"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
