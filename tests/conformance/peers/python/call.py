"""A real HTTP client, of Python's httpx on h2 with prior knowledge, for the tests.

    python call.py URL OUT CALL...      a CALL is three words: METHOD PATH SIZE

One call after the other; what it sends and prints is what ../go/main.go says, but it knows no trailers.
"""

import pathlib
import sys

import httpx

url, out, *words = sys.argv[1:]
with httpx.Client(http1=False, http2=True, timeout=20) as client:
    for n in range(len(words) // 3):
        method, path, size = words[3 * n : 3 * n + 3]
        body = bytes(i % 251 for i in range(int(size)))
        response = client.request(method, url + path, content=body or None)
        (pathlib.Path(out) / str(n)).write_bytes(response.content)
        print(response.status_code, 2 if response.http_version == "HTTP/2" else 1, "-")
