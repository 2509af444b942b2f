"""libzmq's side of the interop tests: pyzmq.py MODE PUBLISH_PORT RET_PORT."""

import sys
import time

import zmq
from zmq.utils.monitor import recv_monitor_message


def open_socket(context, kind, port, **options):
    """A connected socket and its monitor."""
    socket = context.socket(kind)
    for name, value in options.items():
        socket.setsockopt(getattr(zmq, name), value)
    monitor = socket.get_monitor_socket()
    socket.connect(f"tcp://127.0.0.1:{port}")
    return socket, monitor


def events(monitor, seconds, wanted):
    """How often an event happened within some seconds; stops at the first when `wanted` is one."""
    deadline = time.monotonic() + seconds
    found = 0
    while time.monotonic() < deadline:
        if monitor.poll(100):
            event = recv_monitor_message(monitor)
            if event["event"] & wanted:
                found += 1
    return found


def first(monitor, seconds, wanted):
    """Whether an event happens within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if monitor.poll(100) and recv_monitor_message(monitor)["event"] & wanted:
            return True
    return False


def main():
    mode, publish, ret = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    context = zmq.Context()
    gone = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    if mode == "offer":
        dealer, _ = open_socket(context, zmq.DEALER, ret, LINGER=0, RCVTIMEO=10000)
        frames = dealer.recv_multipart()
        print(f"version {frames[0][0]} frames {len(frames)}")
    elif mode == "heartbeat":
        beats = {"LINGER": 0, "HEARTBEAT_IVL": 300, "HEARTBEAT_TIMEOUT": 900}
        dealer, dealer_monitor = open_socket(context, zmq.DEALER, ret, **beats)
        sub, sub_monitor = open_socket(context, zmq.SUB, publish, **beats)
        sub.setsockopt(zmq.SUBSCRIBE, b"brine/1/all")
        if not (first(dealer_monitor, 10, zmq.EVENT_HANDSHAKE_SUCCEEDED) and first(sub_monitor, 10, zmq.EVENT_HANDSHAKE_SUCCEEDED)):
            sys.exit("no handshake")
        print(f"disconnected {events(dealer_monitor, 1.5, gone) + events(sub_monitor, 1.5, gone)}")
    elif mode == "subscriber":
        sub, monitor = open_socket(context, zmq.SUB, publish, LINGER=0)
        sub.setsockopt(zmq.SUBSCRIBE, b"")
        print("disconnected" if first(monitor, 10, gone) else "connected")
    elif mode == "large":
        dealer, monitor = open_socket(context, zmq.DEALER, ret, LINGER=0)
        if not first(monitor, 10, zmq.EVENT_HANDSHAKE_SUCCEEDED):
            sys.exit("no handshake")
        dealer.send(b"x" * 50_000_000)
        print("disconnected" if first(monitor, 10, gone) else "connected")
    else:
        sys.exit(f"unknown mode {mode}")
    context.destroy(linger=0)


main()
