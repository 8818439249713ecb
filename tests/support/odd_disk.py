#!/usr/bin/env python3
"""A pass-through file system that does what odd file systems do: odd_disk.py BACK MOUNT [OPTION=VALUE]...

ci=1          names are one whatever their case
nfd=1         names are kept with their accents apart, as on disks of Macs
gran_ns=N     times are kept in steps of N nanoseconds
round=up      and rounded up, not down
omit=ignored  a change of one time alone is ignored, and called a success
close=dates   a file that was written to gets the time of its first close
chmod=ERRNO   setting a mode fails; also utime=, flush=, fsync=, fsyncdir=
size0=1       every file is called empty
namemax=N     no name is longer than N bytes, as on eCryptfs, which has 143
forbid=CHARS  no name has one of these characters, as on disks that are shared with Windows
rename=ERRNO  giving another name fails, as EXDEV does between the branches of mergerfs
ino=changes   a file has another number at every look
dots=ERRNO    a name that begins with a dot is refused, as some servers' vetoes do: it is not there, and cannot be made
open=ERRNO    what is open can neither get another name nor be replaced or removed, as on VirtualBox's shared folders
over=ERRNO    giving a name that is taken fails
keeps=N       of each file only the first N bytes are kept, and no write says so
filemax=N     no file is longer than N bytes, as on FAT, which has 4 GiB less one

Needs fusepy and libfuse2.
"""
import errno
import os
import stat
import sys
import time
import unicodedata

try:
    from fuse import FUSE, FuseOSError, Operations
except ImportError:
    # As Debian calls it.
    from fusepy import FUSE, FuseOSError, Operations

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
        self.looks = 0
        self.opened = {}

    def at(self, path, looking=False):
        here = self.back
        for name in filter(None, path.split("/")):
            if set(name) & set(options.get("forbid", "")):
                raise FuseOSError(errno.EINVAL)
            if name.startswith(".") and "dots" in options:
                raise FuseOSError(errno.ENOENT if looking else getattr(errno, options["dots"]))
            if len(name.encode(errors="surrogateescape")) > NAME_MAX:
                raise FuseOSError(errno.ENAMETOOLONG)
            if "nfd" in options:
                name = unicodedata.normalize("NFD", name)
            if "ci" in options and os.path.isdir(here) and name not in os.listdir(here):
                name = next((other for other in os.listdir(here) if other.lower() == name.lower()), name)
            here = os.path.join(here, name)
        return here

    def kept(self, nanos):
        down = int(nanos) // STEP * STEP
        return down + STEP if options.get("round") == "up" and down != int(nanos) else down

    def getattr(self, path, handle=None):
        found = os.lstat(self.at(path, looking=True))
        same = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_blocks")
        facts = {name: getattr(found, name) for name in same}
        if "size0" in options and stat.S_ISREG(found.st_mode):
            facts["st_size"] = 0
        for name in ("st_atime", "st_mtime", "st_ctime"):
            facts[name] = self.kept(getattr(found, name + "_ns"))
        if "ino" in options:
            self.looks += 1
            facts["st_ino"] = self.looks
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
        if path in self.opened.values():
            fail("open")
        os.unlink(self.at(path))

    def symlink(self, name, target):
        os.symlink(target, self.at(name))

    def rename(self, old, new):
        fail("rename")
        if {old, new} & set(self.opened.values()):
            fail("open")
        if os.path.lexists(self.at(new)):
            fail("over")
        os.rename(self.at(old), self.at(new))

    def link(self, target, name):
        os.link(self.at(name), self.at(target))

    def statfs(self, path):
        found = os.statvfs(self.at(path))
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize", "f_namemax")
        return {name: getattr(found, name) for name in names} | {"f_namemax": NAME_MAX}

    def open(self, path, flags):
        return self.hold(path, os.open(self.at(path), flags & ~os.O_NOFOLLOW))

    def create(self, path, mode, info=None):
        return self.hold(path, os.open(self.at(path), os.O_RDWR | os.O_CREAT, mode))

    def hold(self, path, handle):
        self.opened[handle] = path
        return handle

    def read(self, path, size, offset, handle):
        return os.pread(handle, size, offset)

    def write(self, path, data, offset, handle):
        if offset + len(data) > FILE_MAX:
            raise FuseOSError(errno.EFBIG)
        self.dirty.add(handle)
        kept = data[: max(0, int(options.get("keeps", FILE_MAX)) - offset)]
        os.pwrite(handle, kept, offset)
        return len(data)

    def truncate(self, path, size, handle=None):
        if size > FILE_MAX:
            raise FuseOSError(errno.EFBIG)
        os.truncate(self.at(path), size)

    def flush(self, path, handle):
        if handle in self.dirty:
            fail("flush")
            if "close" in options:
                os.utime(self.at(path))
                self.dirty.discard(handle)
        return 0

    def fsync(self, path, data_only, handle):
        fail("fsync")
        os.fsync(handle)
        return 0

    def fsyncdir(self, path, data_only, handle):
        fail("fsyncdir")
        return 0

    def release(self, path, handle):
        self.dirty.discard(handle)
        self.opened.pop(handle, None)
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
    **({"use_ino": True} if "ino" in options else {}),
)
