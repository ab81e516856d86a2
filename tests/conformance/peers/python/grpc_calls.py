"""A real gRPC client, of grpcio (the C core), for the tests.

    python grpc_calls.py TARGET METHOD...

Calls each METHOD with an empty message, all on one channel, one after the other and then all at once, and prints a line
for each call: method, status code, and the status message as JSON.
"""

import json
import sys

import grpc

target, *methods = sys.argv[1:]


def report(method, call):
    print(method, call.code().name, json.dumps(call.details()), flush=True)


with grpc.insecure_channel(target) as channel:
    calls = [channel.unary_unary(f"/grpc.testing.{method}") for method in methods]
    for method, call in zip(methods, calls):
        future = call.future(b"", timeout=20)
        future.exception()
        report(method, future)
    futures = [call.future(b"", timeout=20) for call in calls]
    for method, future in zip(methods, futures):
        future.exception()
        report(method, future)
