#!/usr/bin/env python3
"""A pass-through file system that does what odd file systems do: odd_disk.py BACK MOUNT [OPTION=VALUE]...

ci=1          names are one whatever their case
gran_ns=N     times are kept in steps of N nanoseconds
round=up      and rounded up, not down
omit=ignored  a change of one time alone is ignored, and called a success
chmod=ERRNO   setting a mode fails; also utime=, flush=, fsync=
size0=1       every file is called empty
namemax=N     no name is longer than N bytes, as on eCryptfs, which has 143
filemax=N     no file is longer than N bytes, as on FAT, which has 4 GiB less one

Needs fusepy and libfuse2.
"""
import errno
import os
import stat
import sys
import time

from fuse import FUSE, FuseOSError, Operations

options = dict(word.split("=", 1) for word in sys.argv[3:])
NAME_MAX = int(options.get("namemax", "255"))
FILE_MAX = int(options.get("filemax", 1 << 62))
STEP = int(options.get("gran_ns", "1"))
NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2


def fail(option):
    if option in options:
        raise FuseOSError(getattr(errno, options[option]))


class Odd(Operations):
    use_ns = True
    flag_utime_omit_ok = 0 if "omit" in options else 1

    def __init__(self, back):
        self.back = os.path.realpath(back)
        self.dirty = set()

    def at(self, path):
        here = self.back
        for name in filter(None, path.split("/")):
            if len(name.encode(errors="surrogateescape")) > NAME_MAX:
                raise FuseOSError(errno.ENAMETOOLONG)
            if "ci" in options and os.path.isdir(here) and name not in os.listdir(here):
                name = next((other for other in os.listdir(here) if other.lower() == name.lower()), name)
            here = os.path.join(here, name)
        return here

    def kept(self, nanos):
        down = int(nanos) // STEP * STEP
        return down + STEP if options.get("round") == "up" and down != int(nanos) else down

    def getattr(self, path, handle=None):
        found = os.lstat(self.at(path))
        same = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_blocks")
        facts = {name: getattr(found, name) for name in same}
        if "size0" in options and stat.S_ISREG(found.st_mode):
            facts["st_size"] = 0
        for name in ("st_atime", "st_mtime", "st_ctime"):
            facts[name] = self.kept(getattr(found, name + "_ns"))
        return facts

    def chmod(self, path, mode):
        fail("chmod")
        os.chmod(self.at(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self.at(path), uid, gid, follow_symlinks=False)

    def utimens(self, path, times=None):
        fail("utime")
        found = os.lstat(self.at(path))
        accessed, modified = times or (NOW, NOW)
        now = time.time_ns()
        accessed = {OMIT: found.st_atime_ns, NOW: now}.get(accessed, accessed)
        modified = {OMIT: found.st_mtime_ns, NOW: now}.get(modified, modified)
        os.utime(self.at(path), ns=(accessed, self.kept(modified)), follow_symlinks=False)

    def readdir(self, path, handle):
        return [".", ".."] + os.listdir(self.at(path))

    def readlink(self, path):
        return os.readlink(self.at(path))

    def mkdir(self, path, mode):
        os.mkdir(self.at(path), mode)

    def rmdir(self, path):
        os.rmdir(self.at(path))

    def unlink(self, path):
        os.unlink(self.at(path))

    def symlink(self, name, target):
        os.symlink(target, self.at(name))

    def rename(self, old, new):
        os.rename(self.at(old), self.at(new))

    def link(self, target, name):
        os.link(self.at(name), self.at(target))

    def statfs(self, path):
        found = os.statvfs(self.at(path))
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize", "f_namemax")
        return {name: getattr(found, name) for name in names} | {"f_namemax": NAME_MAX}

    def open(self, path, flags):
        return os.open(self.at(path), flags & ~os.O_NOFOLLOW)

    def create(self, path, mode, info=None):
        return os.open(self.at(path), os.O_RDWR | os.O_CREAT, mode)

    def read(self, path, size, offset, handle):
        return os.pread(handle, size, offset)

    def write(self, path, data, offset, handle):
        if offset + len(data) > FILE_MAX:
            raise FuseOSError(errno.EFBIG)
        self.dirty.add(handle)
        return os.pwrite(handle, data, offset)

    def truncate(self, path, size, handle=None):
        if size > FILE_MAX:
            raise FuseOSError(errno.EFBIG)
        os.truncate(self.at(path), size)

    def flush(self, path, handle):
        if handle in self.dirty:
            fail("flush")
        return 0

    def fsync(self, path, data_only, handle):
        fail("fsync")
        os.fsync(handle)
        return 0

    def release(self, path, handle):
        self.dirty.discard(handle)
        os.close(handle)
        return 0


FUSE(
    Odd(sys.argv[1]),
    sys.argv[2],
    foreground=True,
    nothreads=True,
    attr_timeout=0,
    entry_timeout=0,
    default_permissions=True,
    **({"direct_io": True} if "size0" in options else {}),
)
