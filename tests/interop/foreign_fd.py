#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 180
# clause: L55 L56 L62
"""foreign_fd with PostgreSQL and Redis: answers, data, messages; servers that are not there, and that go."""

import os
import re
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main, unused_port
from support.others import Postgres, Redis, need, need_example

need("setpriv", "initdb", "postgres", "psql", "redis-server", "redis-cli")
need_example("foreign_fd")

HELLO = {
    "postgres": ["postgres: LISTEN", "postgres: 1 | 1", "postgres: 2 | 4", "postgres: 3 | 9", "postgres: NOTIFY",
                 "postgres: notified on eddy: hello"],
    "redis": ["redis: connected", "redis: hello", "redis: message on eddy: hello"],
}


def said_by(name, lines):
    return [line for line in lines if line.startswith(name + ":") and "connected to" not in line]


def check_hello(name, lines):
    """Redis is asked on two connections: what came first of the answer and the message, may be told last."""
    said, expected = said_by(name, lines), HELLO[name]
    if name == "redis":
        said, expected = sorted(said), sorted(expected)
    check(said == expected, name, "said", said)


def both_at_once(examples):
    for conninfo, address in ((postgres.conninfo(), redis.path()), (postgres.conninfo("127.0.0.1"), redis.address())):
        lines = examples.run("foreign_fd", "--postgres", conninfo, "--redis", address)
        for name in HELLO:
            check_hello(name, lines)
        check(len(lines) == 10, "printed", lines)


def one_of_them(examples):
    lines = examples.run("foreign_fd", "--postgres", postgres.conninfo())
    check_hello("postgres", lines)
    check(len(lines) == 7, "printed", lines)
    lines = examples.run("foreign_fd", "--redis", redis.address())
    check_hello("redis", lines)
    check(len(lines) == 3, "printed", lines)


def requests_of_mine(examples):
    redis.cli("SET", "key", "value")
    lines = examples.run("foreign_fd", "--postgres", postgres.conninfo(), "--redis", redis.path(), "--query",
                         "SELECT 1; SELECT 'two', NULL; SELECT WHERE false", "--command", "MGET key  missing")
    check(said_by("postgres", lines)[1:3] == ["postgres: 1", "postgres: two | "], "printed", lines)
    answers = [line for line in said_by("redis", lines) if "message" not in line]
    check(answers == ["redis: connected", "redis: value", "redis: (nil)"], "printed", lines)


def much_to_read(examples):
    lines = examples.run("foreign_fd", "--postgres", postgres.conninfo(), "--redis", redis.path(), "--query",
                         "SELECT n FROM generate_series(1, 200000) AS n")
    rows = [int(line.split()[1]) for line in said_by("postgres", lines)[1:-2]]
    check(rows == list(range(1, 200001)), len(rows), "rows")


def much_to_send(examples):
    """More than a socket takes at once, so that both wait for writing."""
    for conninfo, address in ((postgres.conninfo(), redis.path()), (postgres.conninfo("127.0.0.1"), redis.address())):
        lines = examples.run("foreign_fd", "--postgres", conninfo, "--redis", address, "--bytes", "24M")
        for name in HELLO:
            check(f"{name}: 25165824 bytes there and back" in lines, "printed", lines)


def several_addresses(examples):
    """libpq closes one socket and opens the next, often of the same number, while it connects."""
    nobody, port = unused_port()
    lines = examples.run("foreign_fd", "--postgres",
                         postgres.conninfo(f"127.0.0.1,{postgres.folder}/no,127.0.0.1,127.0.0.1",
                                           f"{port},{postgres.port},{port},{postgres.port}"))
    check_hello("postgres", lines)
    nobody.close()


def nobody_there(examples):
    nobody, port = unused_port()
    for address, why in ((f"127.0.0.1:{port}", "Connection refused"), (f"{redis.path()}.not", "No such file[^\n]*")):
        # The other one does its work all the same.
        lines = examples.run("foreign_fd", "--postgres", postgres.conninfo(), "--redis", address, code=1,
                             err=f"foreign_fd: redis: {why}\n")
        check_hello("postgres", lines)
    lines = examples.run("foreign_fd", "--postgres", postgres.conninfo("127.0.0.1", port), "--redis", redis.path(),
                         code=1, err="foreign_fd: postgres: [^\n]*Connection refused\n")
    check_hello("redis", lines)
    nobody.close()


def requests_that_fail(examples):
    lines = examples.run("foreign_fd", "--postgres", postgres.conninfo(), "--redis", redis.path(), "--query",
                         "SELECT * FROM nothing", "--command", "NOTHING", code=1,
                         err='(foreign_fd: (postgres: ERROR:  relation "nothing" does not exist|'
                             "redis: ERR unknown command [^\n]*)\n){2}")
    check(not any("hello" in line for line in said_by("redis", lines)), "went on:", lines)
    examples.run("foreign_fd", "--postgres", postgres.conninfo(), "--query", "COPY (SELECT 1) TO STDOUT", code=1,
                 err="foreign_fd: postgres: a result that [^\n]*\n")


def listen(examples):
    program = examples.start("foreign_fd", "--stay", "--postgres", postgres.conninfo(), "--redis", redis.path(),
                             "--timeout", 20)
    program.wait_line("listening until SIGINT or SIGTERM")
    return program


def messages_of_others(examples):
    program = listen(examples)
    for text in ("one", "two", "x" * 5000):
        postgres.sql(f"NOTIFY eddy, '{text}'")
        program.wait_line("postgres: notified on eddy: " + text)
        check(redis.cli("PUBLISH", "eddy", text) == "1\n", "nobody is subscribed")
        program.wait_line("redis: message on eddy: " + text)
    program.signal(signal.SIGTERM)
    program.finish()


def the_server_is_shut_down(examples):
    program = listen(examples)
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ''"
                 " AND usename = 'eddy' AND pid <> pg_backend_pid()")
    program.wait_line("postgres: FATAL:  terminating connection due to administrator command")
    redis.cli("PUBLISH", "eddy", "still here")
    program.wait_line("redis: message on eddy: still here")
    redis.cli("CLIENT", "KILL", "TYPE", "pubsub")
    program.finish(1, "foreign_fd: postgres: server closed the connection unexpectedly\n"
                      "foreign_fd: redis: Server closed the connection\n")


def the_server_crashes(examples):
    """While a query is under way."""
    program = examples.start("foreign_fd", "--postgres", postgres.conninfo(), "--redis", redis.path(), "--query",
                             "SELECT pg_sleep(3600)")
    program.wait_line("postgres: LISTEN")
    program.wait_line("redis: message on eddy: hello")
    postgres.stop()
    program.finish(1, "foreign_fd: postgres: [^\n]+\n")
    postgres.start()
    program = listen(examples)
    redis.stop()
    postgres.sql("NOTIFY eddy, 'still here'")
    program.wait_line("postgres: notified on eddy: still here")
    program.signal(signal.SIGINT)
    program.finish(1, r"foreign_fd: redis: [^\n]+\n")
    redis.start()
    both_at_once(examples)


def too_late(examples):
    examples.run("foreign_fd", "--postgres", postgres.conninfo(), "--query", "SELECT pg_sleep(3600)", "--timeout", 0.3,
                 code=1, err=re.escape("foreign_fd: not finished after 0.3 s\n"))


with Postgres() as postgres, Redis() as redis:
    main(both_at_once, one_of_them, requests_of_mine, much_to_read, much_to_send, several_addresses, nobody_there,
         requests_that_fail, messages_of_others, the_server_is_shut_down, the_server_crashes, too_late)
