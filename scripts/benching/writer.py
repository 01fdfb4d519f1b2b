"""Write files at a steady rate, a program of its own so that it takes no time from whoever measures.

Called as `python writer.py FOLDER RATE COUNT SMALLEST LARGEST`; says, as JSON, how many it wrote in the time that COUNT
at RATE a second should take, and between which moments of the monotonic clock, which is the same for all programs.
"""
import json
import os
import random
import sys
import time

SEED = 20
A_FOLDER = 100  # files in each folder
LATE = 0.1  # seconds; who is later than this when the time is over stops there


def name(number: int) -> str:
    """The relative path of file `number`."""
    return f"d{number // A_FOLDER:04d}/f{number:06d}"


def main(folder: str, rate: float, count: int, smallest: int, largest: int) -> None:
    """Write, 100 files a folder, with content that does not compress and sizes that are the same in every run.

    `rate` 0: as fast as can be.
    """
    chance = random.Random(SEED)
    sizes = [chance.randint(smallest, largest) for _ in range(count)]
    block = memoryview(chance.getrandbits(16 * largest).to_bytes(2 * largest, "little"))
    begun, written = time.monotonic(), 0
    for number, size in enumerate(sizes):
        late = time.monotonic() - begun - number / rate if rate else 0.0
        if late < -0.001:
            time.sleep(-late)
        elif late > LATE and time.monotonic() - begun > count / rate:
            break
        path = os.path.join(folder, name(number))
        if number % A_FOLDER == 0:
            os.mkdir(os.path.dirname(path))
        with open(path, "wb", buffering=0) as handle:
            handle.write(block[number % largest:number % largest + size])
        written += 1
    json.dump({"files": written, "begun": begun, "written": time.monotonic()}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
