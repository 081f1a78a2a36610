"""Filesystems of a size, made and taken away by root."""
import os
import subprocess


class Skip(Exception):
    """A check that can't run here, and why."""


class Tmpfs:
    """`with Tmpfs(path, megabytes):` a small filesystem at path."""

    def __init__(self, path, megabytes):
        self.path, self.megabytes = path, megabytes

    def __enter__(self):
        os.makedirs(self.path, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.megabytes}m", "none", self.path],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise Skip(f"needs root to mount a small filesystem: {done.stdout.strip()}")
        return self

    def remount(self, options):
        """The kernel refuses `ro` while files are open for writing; the caller retries or breaks it otherwise."""
        return subprocess.run(["mount", "-o", f"remount,{options}", self.path], stderr=subprocess.DEVNULL).returncode == 0

    def grow(self, megabytes):
        assert self.remount(f"size={megabytes}m")

    def __exit__(self, *ended):
        subprocess.run(["umount", "-l", self.path], check=False)


class Image:
    """`with Image(path, megabytes):` an ext4 in a file, which can be shut down as a dying disk is."""

    def __init__(self, path, megabytes):
        self.path, self.file, self.megabytes = path, path + ".img", megabytes

    def __enter__(self):
        os.makedirs(self.path, exist_ok=True)
        with open(self.file, "wb") as f:
            f.truncate(self.megabytes << 20)
        for command in (["mkfs.ext4", "-q", "-F", self.file], ["mount", "-o", "loop", self.file, self.path]):
            try:
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            except OSError as e:
                raise Skip(str(e)) from e
            if done.returncode:
                raise Skip(f"needs root and loop devices: {done.stdout.strip()}")
        return self

    def die(self):
        """EXT4_IOC_SHUTDOWN without flushing: every later read and write of it is an I/O error."""
        import fcntl
        import struct
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))
        finally:
            os.close(fd)

    def back(self):
        """As if it were pulled out and put in again: what reached it is there. A copy, for who has files open there keeps the
        dead one alive."""
        old, self.file = self.file, self.file + "+"
        for command in (["cp", "--sparse=always", old, self.file], ["umount", "-l", self.path],
                        ["mount", "-o", "loop", self.file, self.path]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, done.stdout
        os.remove(old)

    def __exit__(self, *ended):
        subprocess.run(["umount", "-l", self.path], check=False)
        if os.path.exists(self.file):
            os.remove(self.file)
