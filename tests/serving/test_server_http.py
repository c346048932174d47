"""The HTTP front over real sockets: framing, order, limits, what is refused and how."""

import asyncio
import gzip
import socket
import threading
import time
from dataclasses import replace

import pytest

from serving.server import http_responses
from serving.server.http import MAX_HEADERS, Connection, Limits
from serving.server.inflate import MAX_MEMBERS, TooLarge, inflate

LIMITS = Limits(max_body=1000, max_held=1500, max_connections=20, read_timeout=0.3, idle_timeout=0.6)


class Echo:
    """Answers with what it was asked; paths that begin with /later are answered when told."""

    def __init__(self):
        self.limits, self.connections, self.draining, self.held = LIMITS, set(), False, 0
        self.waiting = []

    def answer(self, exchange):
        if exchange.path.startswith("/later"):
            self.waiting.append(exchange)
        else:
            exchange.reply(200, http_responses.JSON, f"{exchange.method} {exchange.path} ".encode() + exchange.body)


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request):
    """``(echo, port, loop)`` of a server in a thread."""
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
    echo, ready = Echo(), threading.Event()
    found = {}

    async def serve():
        made = await loop.create_server(lambda: Connection(echo), "127.0.0.1", 0)
        found["port"], found["stop"] = made.sockets[0].getsockname()[1], asyncio.Event()
        ready.set()
        while not found["stop"].is_set():
            await asyncio.sleep(0.05)
            for connection in list(echo.connections):
                connection.check(time.monotonic())
        made.close()
        for connection in list(echo.connections):
            connection.transport.abort()
        await asyncio.sleep(0.01)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(5)
    yield echo, found["port"], loop
    loop.call_soon_threadsafe(found["stop"].set)
    thread.join(5)
    loop.close()


def talk(port, data, *, pieces=1, wait=5.0):
    """Send bytes, read until the other side closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as client:
        size = max(1, len(data) // pieces)
        for start in range(0, len(data), size):
            client.sendall(data[start : start + size])
            if pieces > 1:
                time.sleep(0.002)
        client.settimeout(0.25)
        received = b""
        try:
            while chunk := client.recv(65536):
                received += chunk
        except TimeoutError:
            pass
        except ConnectionResetError:
            received += b"<reset>"
    return received


def post(body, *headers, path="/x", version="1.1"):
    lines = [f"POST {path} HTTP/{version}", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_reply_has_date_and_length_and_no_server(server):
    received = talk(server[1], post(b"hello"))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: ")
    assert head.endswith(b"\r\nContent-Length: 13") and body == b"POST /x hello"
    assert b"Server" not in head and b"Connection" not in head


@pytest.mark.parametrize("pieces", [2, 17, 60])
def test_requests_may_come_in_pieces(server, pieces):
    server[0].limits = replace(LIMITS, read_timeout=10.0)  # pieces take their time where the machine is busy
    assert talk(server[1], post(b"hello world"), pieces=pieces).endswith(b"POST /x hello world")


def test_a_connection_is_kept_and_pipelined(server):
    received = talk(server[1], post(b"1") + post(b"2", path="/y") + post(b"3"))
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.index(b"POST /x 1") < received.index(b"POST /y 2") < received.index(b"POST /x 3")


def test_replies_keep_the_order_of_requests(server):
    echo, port, loop = server
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(post(b"", path="/later1") + post(b"now") + post(b"", path="/later2"))
        for _ in range(100):
            if len(echo.waiting) == 2:
                break
            time.sleep(0.01)
        first, second = echo.waiting
        loop.call_soon_threadsafe(second.reply, 200, http_responses.JSON, b"SECOND")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        loop.call_soon_threadsafe(first.reply, 200, http_responses.JSON, b"FIRST")
        client.settimeout(5)
        received = b""
        while b"SECOND" not in received:
            received += client.recv(65536)
    assert received.index(b"FIRST") < received.index(b"POST /x now") < received.index(b"SECOND")


def test_hundreds_of_pipelined_requests_are_all_answered(server):
    received = talk(server[1], b"".join(post(b"%d;" % number) for number in range(500)))
    assert received.count(b"HTTP/1.1 200 OK") == 500 and b"POST /x 499;" in received


def test_chunked_bodies(server):
    data = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert talk(server[1], data).endswith(b"POST /x abcde")


def test_http_1_0_is_answered_without_a_length_and_closed(server):
    with socket.create_connection(("127.0.0.1", server[1]), timeout=5) as client:
        client.sendall(post(b"x", version="1.0"))
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.0 200 OK\r\n") and received.endswith(b"\r\n\r\nPOST /x x")
    assert b"Content-Length" not in received and b"Date" not in received


def test_http_1_0_may_be_kept(server):
    received = talk(server[1], post(b"x", "Connection: keep-alive", version="1.0") * 2)
    assert received.count(b"HTTP/1.0 200 OK") == 2 and b"Connection: keep-alive" in received


def test_connection_close_is_obeyed(server):
    received = talk(server[1], post(b"1", "Connection: close") + post(b"2"))
    assert received.count(b"HTTP/1.1 200") == 1 and b"Connection: close\r\n" in received


def test_expect_continue(server):
    with socket.create_connection(("127.0.0.1", server[1]), timeout=5) as client:
        client.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert client.recv(65536).endswith(b"POST /x abc")


@pytest.mark.parametrize(
    "data", [b"HELLO\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9x\r\n\r\n"]
)
def test_garbage_is_a_bad_request_and_ends_the_connection(server, data):
    received = talk(server[1], data)
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n")
    assert received.endswith(
        b"<HTML><HEAD>\n<TITLE>400 Bad Request</TITLE>\n</HEAD><BODY>\n<H1>Bad Request</H1>\n</BODY></HTML>\n"
    )


def test_an_announced_large_body_is_refused_before_it_is_sent(server):
    received = talk(server[1], b"POST /x HTTP/1.1\r\nContent-Length: 1001\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ") and b"Connection: close" in received


def test_a_large_chunked_body_is_refused_and_the_client_reads_why(server):
    data = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"200\r\n" + b"x" * 512 + b"\r\n") * 400
    assert talk(server[1], data).startswith(b"HTTP/1.1 413 ")


def test_a_flood_of_headers_is_refused(server):
    many = "".join(f"H{number}: x\r\n" for number in range(MAX_HEADERS + 1)).encode()
    assert talk(server[1], b"GET / HTTP/1.1\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert talk(server[1], b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert talk(server[1], b"GET / HTTP/1.1\r\nA: " + b"x" * 300_000).startswith(b"HTTP/1.1 431 ")
    assert talk(server[1], b"GET /" + b"x" * 300_000).startswith(b"HTTP/1.1 431 ")


def test_a_slow_request_times_out(server):
    echo, port, _ = server
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(post(b"x" * 100)[:-50])
        start = time.monotonic()
        assert client.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - start < 2
    for _ in range(100):
        if not echo.held:
            break
        time.sleep(0.05)
    assert echo.held == 0


def test_an_idle_connection_is_closed(server):
    with socket.create_connection(("127.0.0.1", server[1]), timeout=5) as client:
        assert client.recv(1) == b""


def test_unfinished_bodies_are_bounded_together(server):
    _, port, _ = server
    clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(2)]
    replied = b""
    for client in clients:
        client.sendall(post(b"x" * 1000)[:-100])
        time.sleep(0.05)
    clients[-1].settimeout(0.2)
    replied = clients[-1].recv(65536)
    assert replied.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in replied
    for client in clients:
        client.close()


def test_too_many_connections_are_turned_away(server):
    _, port, _ = server
    clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(LIMITS.max_connections)]
    time.sleep(0.05)
    assert talk(port, post(b"x")).startswith(b"HTTP/1.1 503 ")
    for client in clients:
        client.close()


def test_a_client_that_goes_is_noticed(server):
    echo, port, _ = server
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(post(b"", path="/later"))
        time.sleep(0.1)
    time.sleep(0.1)
    assert not echo.waiting[0].alive


def test_draining_says_that_the_connection_ends(server):
    echo, port, _ = server
    echo.draining = True
    assert b"Connection: close" in talk(port, post(b"x"))


def test_head_has_no_body(server):
    received = talk(server[1], b"HEAD /x HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 8" in received and received.endswith(b"\r\n\r\n")


def test_an_upgrade_is_answered_as_an_ordinary_request(server):
    received = talk(server[1], b"GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 OK") and b"Connection: close" in received


def test_inflation_is_bounded_and_broken_gzip_is_empty():
    packed = gzip.compress(b"a" * 1000)
    assert inflate(packed, 1000) == b"a" * 1000
    assert inflate(packed + packed, 2000) == b"a" * 2000
    with pytest.raises(TooLarge):
        inflate(packed, 999)
    with pytest.raises(TooLarge):
        inflate(gzip.compress(bytes(50_000_000)), 1000)
    assert inflate(packed[:-4], 1000) == b"" and inflate(b"hello", 1000) == b"" and inflate(b"", 10) == b""


def header_with(flag, field, packed):
    """A gzip file with an optional field in its header."""
    return packed[:3] + bytes([flag]) + packed[4:10] + field + packed[10:]


PACKED = gzip.compress(b"a" * 1000, mtime=0)


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (gzip.compress(b"a", mtime=0) * 60_000, b"a" * 60_000),
        (gzip.compress(b"", mtime=0) * 60_000 + PACKED, b"a" * 1000),
        (PACKED + gzip.compress(b"", mtime=0), b"a" * 1000),
        (header_with(8, b"n" * 2**20 + b"\0", PACKED) * 2, b"a" * 2000),
        (header_with(4, b"\xff\xff" + b"n" * 65535, PACKED) * 20, b"a" * 20_000),
        (header_with(16, b"c" * 2**20 + b"\0", PACKED), b"a" * 1000),
        (gzip.compress(bytes(2**20), compresslevel=0), bytes(2**20)),
        (header_with(8, b"n" * 2**20, PACKED[:8]), b""),
        (gzip.compress(b"", mtime=0) * 60_000 + PACKED[:-1], b""),
        (PACKED + b"junk", b""),
        (PACKED + PACKED[:1], b""),
        (bytes(4 * 2**20), b""),
    ],
    ids=[
        *("members of one byte", "empty members", "an empty last member", "long names", "long extra fields"),
        *("a long comment", "stored", "a name without end", "a cut last member", "junk behind", "one byte behind"),
        "no gzip",
    ],
)
def test_joined_files_and_long_headers_are_inflated_in_one_pass(body, plain):
    start = time.perf_counter()
    assert inflate(body, 2**21) == plain
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize("megabytes", [4, 64])
def test_a_body_of_empty_members_is_refused_within_a_second(megabytes):
    empty = gzip.compress(b"", mtime=0)
    start = time.perf_counter()
    with pytest.raises(TooLarge):
        inflate(empty * (megabytes * 10**6 // len(empty)), 2**26)
    assert time.perf_counter() - start < 1.0
    assert inflate(empty * MAX_MEMBERS, 1) == b""


def test_requests_with_the_same_head_are_parsed_once_and_answered_each(server):
    """The second is known by its head; one of another length, pieces, a pipelined pair and a broken one are not."""
    with socket.create_connection(("127.0.0.1", server[1]), timeout=5) as client:

        def ask(data, replies_=1):
            client.sendall(data)
            received = b""
            while received.count(b"HTTP/1.1 ") < replies_ or b"POST /x" not in received.rpartition(b"\r\n\r\n")[2]:
                received += client.recv(65536)
            return received

        for body in (b"one", b"two", b"six", b"longer", b"one"):
            assert ask(post(body)).endswith(b"POST /x " + body)
        (connection,) = server[0].connections
        limit = time.monotonic() + 5
        while connection.head is None and time.monotonic() < limit:  # kept after the reply is written
            time.sleep(0.01)
        assert connection.head.data == post(b"one")[:-3]
        client.sendall(post(b"ab1")[:-1])
        time.sleep(0.05)
        assert ask(b"c").endswith(b"POST /x abc")  # in two pieces
        both = ask(post(b"two") + post(b"one"), 2)
        assert b"POST /x two" in both and both.endswith(b"POST /x one")
        client.sendall(b"nonsense\r\n\r\n")
        assert b"400 Bad Request" in client.recv(65536)


def test_a_head_that_ends_the_connection_or_chunks_is_not_kept(server):
    with socket.create_connection(("127.0.0.1", server[1]), timeout=5) as client:
        chunked = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        for _ in range(2):
            client.sendall(chunked)
            assert client.recv(65536).endswith(b"POST /x abc")
        assert [connection.head for connection in server[0].connections] == [None]
