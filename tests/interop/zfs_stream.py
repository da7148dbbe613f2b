"""Writes a stream as `zfs send` does, of one file, without a pool.

The records are those of dmu_replay_record: 312 bytes, little-endian, with the Fletcher-4 sum of the stream
before it in the last 32 bytes of each but the first. `zstream dump` of OpenZFS accepts the stream.
"""

import struct
import sys

BEGIN, OBJECT, FREE_OBJECTS, WRITE, FREE, END = range(6)
MAGIC = 0x2F5BACBAC
GUID = 0x1234567890ABCDEF
BLOCK = 131072
PLAIN_FILE, ZNODE = 19, 44
WORD = (1 << 64) - 1


class Stream:
    def __init__(self, out):
        self.out = out
        self.sum = (0, 0, 0, 0)

    def add(self, piece):
        a, b, c, d = self.sum
        for (word,) in struct.iter_unpack("<I", piece):
            a += word
            b += a
            c += b
            d += c
        self.sum = (a & WORD, b & WORD, c & WORD, d & WORD)
        self.out.write(piece)

    def record(self, kind, fields, payload=b""):
        inside = len(payload) if kind != WRITE else 0
        head = (struct.pack("<II", kind, inside) + fields).ljust(280, b"\0")
        if kind == BEGIN:
            self.add((head[:8] + fields).ljust(312, b"\0"))
        else:
            self.add(head)
            self.add(struct.pack("<4Q", *self.sum))
        self.add(payload)


def main(blocks):
    stream = Stream(sys.stdout.buffer)
    name = b"tank@today".ljust(256, b"\0")
    # A stream without properties, of a file system.
    stream.record(BEGIN, struct.pack("<QQQIIQQ", MAGIC, 1, 1764547200, 2, 4, GUID, 0) + name)
    stream.record(OBJECT, struct.pack("<QIIIIBBBBIQ", 8, PLAIN_FILE, ZNODE, BLOCK, 168, 0, 0, 1, 0, 0, GUID),
                  bytes(range(168)))
    for number in range(blocks):
        data = bytes((number + i) % 251 for i in range(1024)) * (BLOCK // 1024)
        fields = struct.pack("<QIIQQQ", 8, PLAIN_FILE, 0, number * BLOCK, BLOCK, GUID)
        stream.record(WRITE, fields, data)
    stream.record(FREE, struct.pack("<QQQQ", 8, blocks * BLOCK, WORD, GUID))
    stream.record(END, struct.pack("<4QQ", *stream.sum, GUID))


main(int(sys.argv[1]))
