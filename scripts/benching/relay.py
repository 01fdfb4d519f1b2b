"""A long way on the loopback, a program of its own: called as `python relay.py PORT TARGET_PORT SECONDS`.

What comes in at PORT goes on to TARGET_PORT, each piece SECONDS after it came and however many are under way, and the
same back. A connection is made there as late as a handshake over such a way would let it.
"""
import queue
import socket
import sys
import threading
import time

HOST = "127.0.0.1"
PIECE = 1 << 16
Way = "queue.Queue[Tuple[float, bytes]]"


def take(giver: socket.socket, way: Way, delay: float) -> None:
    """Put what comes on its way, with the moment at which it is to arrive; an empty piece is the end."""
    piece = b"."
    while piece:
        try:
            piece = giver.recv(PIECE)
        except OSError:
            piece = b""
        way.put((time.monotonic() + delay, piece))


def give(taker: socket.socket, way: Way) -> None:
    """Hand over what arrives."""
    while True:
        moment, piece = way.get()
        time.sleep(max(0.0, moment - time.monotonic()))
        try:
            if not piece:
                taker.shutdown(socket.SHUT_WR)
                return
            taker.sendall(piece)
        except OSError:
            return


def connect(client: socket.socket, port: int, delay: float) -> None:
    """Serve one connection until both directions have ended."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    onwards, back = queue.Queue(), queue.Queue()  # type: Way, Way
    threading.Thread(target=take, args=(client, onwards, delay), daemon=True).start()
    time.sleep(3 * delay)
    with client, socket.create_connection((HOST, port)) as target:
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        works = [threading.Thread(target=give, args=(target, onwards), daemon=True),
                 threading.Thread(target=take, args=(target, back, delay), daemon=True),
                 threading.Thread(target=give, args=(client, back), daemon=True)]
        for work in works:
            work.start()
        for work in works:
            work.join()


def main(port: int, target: int, delay: float) -> None:
    """Serve for ever."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=connect, args=(client, target, delay), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
