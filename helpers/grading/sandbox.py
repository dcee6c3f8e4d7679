"""Where a submission's code runs: namespaces of its own, a read-only root with little in it, no network, no rights.

`enter` is called in a forked process and never returns in it: what is called inside runs as the only family of a new
PID namespace, on a root that is a tmpfs with read-only binds of the system's and Python's folders. What is not named
here does not exist there: no source/, no gradebook, no other submission, no home of the instructor, no network but a
loopback of its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

HOME = "/home/student"
OUTSIDE_UID = 2_000_000  # of the first worker that root starts; nobody else's, so that limits per user are its own
INSIDE_UID = 1000
WRITABLE = {HOME: 700, "/tmp": 1777, "/dev/shm": 1777}  # noqa: S108 - by mode
FILES = 100_000  # that each of the writable folders may hold

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    *(0x00020000, 0x04000000, 0x08000000),
    *(0x10000000, 0x20000000, 0x40000000),
)
_MNT_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_KEYCTL, _JOIN_SESSION_KEYRING = {"x86_64": 250, "aarch64": 219}, 1
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ssl", "/etc/alternatives", "/etc/ld.so.cache")
_SYSTEM_FILES = ("/etc/localtime", "/etc/nsswitch.conf", "/etc/mime.types", "/etc/fonts")
_DEVICES = ("null", "zero", "full", "random", "urandom")
WRITTEN = {
    "/etc/passwd": f"root:x:0:0::/:/bin/false\nstudent:x:{INSIDE_UID}:{INSIDE_UID}::{HOME}:/bin/sh\n",
    "/etc/group": f"root:x:0:\nstudent:x:{INSIDE_UID}:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/resolv.conf": "",
}


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        cell_seconds: wall time of one cell or one test.
        notebook_seconds: wall time of everything.
        memory: bytes of all its processes together.
        disk: bytes of its home, of /tmp and of /dev/shm, each.
        processes: processes and threads.
        output: bytes of output that a cell may leave; the notebook may leave eight times as much.
    """

    cell_seconds: float = 180.0
    notebook_seconds: float = 900.0
    memory: int = 3 * 2**30
    disk: int = 256 * 2**20
    processes: int = 384
    output: int = 2**20

    @classmethod
    def of_lab(cls, course: Mapping[str, Any]) -> Limits:
        """The limits of a lab, whose front matter may ask for more disk with `disk_mib`.

        Args:
            course: the metadata "course" of the lab's source notebook.
        """
        return cls(disk=course["disk_mib"] * 2**20) if "disk_mib" in course else cls()

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


class SandboxError(Exception):
    """This machine does not allow a sandbox; the message says why."""


def enter(limits: Limits, read_only: Iterable[str], slot: int, inside: Callable[[], None]) -> NoReturn:
    """Turn this forked process into the guardian of a sandbox in which `inside` runs; exits with its exit code.

    Args:
        limits: of memory, files and processes.
        read_only: folders that the code inside can read, beside the system's.
        slot: number of the worker, for a user id of its own when root starts it.
        inside: runs as the first process of the sandbox's user; its return ends the sandbox.
    """
    die_with_parent()
    os.setsid()
    os.umask(0o022)
    own_keyring()
    uid = OUTSIDE_UID + slot if _can_become(OUTSIDE_UID + slot) else None
    _unshare(uid)
    first = os.fork()
    if first:
        os._exit(_wait(first))
    die_with_parent()
    _make_root(limits, read_only, uid)
    _loopback_up()
    second = os.fork()
    if second:
        _give_up_rights(uid)
        os._exit(_reap_until(second))
    limit(limits)
    _give_up_rights(uid)
    os.chdir(HOME)
    inside()
    os._exit(0)


def own_keyring() -> None:
    """Leave the keyring of the session: the kernel's belong to users, not to namespaces."""
    ctypes.CDLL(None).syscall(_KEYCTL[os.uname().machine], _JOIN_SESSION_KEYRING, None)


def readable(read_only: Iterable[str]) -> list[str]:
    """Files and folders of the host that are seen inside: the system's, Python's, and these."""
    prefixes = {sys.prefix, sys.base_prefix, *read_only}
    return [*_SYSTEM, *_SYSTEM_FILES, *sorted(os.path.realpath(prefix) for prefix in prefixes)]


def report(pipe: int, of_host: str) -> None:
    """From inside: write to a pipe what the sandbox does not keep away, else `holds`.

    Args:
        pipe: a descriptor.
        of_host: a file that is to be out of sight.
    """
    faults = []
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    if max(pids) > 20 or os.getppid() != 1:
        faults.append("the host's processes are visible")
    own_file = str(Path(__file__).parents[2] / "pyproject.toml")
    faults += [f"{path} is visible" for path in (of_host, own_file, "/etc/shadow") if Path(path).exists()]
    if not Path(sys.executable).exists() or not Path(os.__file__).exists():
        faults.append("Python itself is not visible")
    for path in ("/usr/probe", "/probe", "/etc/probe", os.path.join(sys.prefix, "probe")):  # noqa: PTH118
        try:
            Path(path).write_text("x")
            faults.append(f"{path} can be written")
        except OSError:
            continue
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=0.2).close()
        faults.append("the network is reachable")
    except OSError as error:
        if error.errno not in (101, 113):  # ENETUNREACH, EHOSTUNREACH
            faults.append(f"the network answers: {error}")
    if os.geteuid() == 0:
        faults.append("the code runs as root")
    os.write(pipe, ("; ".join(faults) or "holds").encode())


def _can_become(uid: int) -> bool:
    """Whether this process is root, and where this user exists: in a rootless container it does not."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    ranges = [(int(first), int(count)) for first, _, count in map(str.split, lines)]
    return os.geteuid() == 0 and any(first <= uid < first + count for first, count in ranges)


def _unshare(uid: int | None) -> None:
    """New namespaces; without root's rights a user namespace brings them."""
    flags = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
    if uid is not None:
        _call("unshare", flags)
        return
    own_uid, own_gid = os.geteuid(), os.getegid()
    _call("unshare", flags | _NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{INSIDE_UID} {own_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{INSIDE_UID} {own_gid} 1")


def _make_root(limits: Limits, read_only: Iterable[str], uid: int | None) -> None:
    """Builds the root on a tmpfs and makes it the process's."""
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    stage = next(folder for folder in ("/mnt", "/media", "/srv") if Path(folder).is_dir())
    _mount("tmpfs", stage, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=4m,mode=755")
    owner = f",uid={uid},gid={uid}" if uid is not None else ""
    # Before the binds: Python or the course may themselves lie below one of these.
    for folder, mode in WRITABLE.items():
        os.makedirs(f"{stage}{folder}", exist_ok=True)  # noqa: PTH103
        size = f"size={limits.disk},nr_inodes={FILES},mode={mode}{owner if folder == HOME else ''}"
        _mount("tmpfs", f"{stage}{folder}", "tmpfs", _MS_NOSUID | _MS_NODEV, size)
    os.makedirs(f"{stage}/var")  # noqa: PTH103
    os.symlink("/tmp", f"{stage}/var/tmp")  # noqa: S108, PTH211
    for path in readable(read_only):
        _bind(path, stage)
    for device in _DEVICES:
        _bind(f"/dev/{device}", stage, 0)
    for name, target in {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1"}.items():
        os.symlink(target, f"{stage}/dev/{name}")  # noqa: PTH211
    for name, content in WRITTEN.items():
        Path(f"{stage}{name}").write_text(content)
    os.makedirs(f"{stage}/proc", exist_ok=True)  # noqa: PTH103
    os.makedirs(f"{stage}/opt/ml", exist_ok=True)  # noqa: PTH103
    _mount("proc", f"{stage}/proc", "proc", _MS_NOSUID | _MS_NODEV)
    os.makedirs(f"{stage}/.old")  # noqa: PTH103
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_PIVOT_ROOT[os.uname().machine], stage.encode(), f"{stage}/.old".encode()):
        raise OSError(ctypes.get_errno(), f"pivot_root: {os.strerror(ctypes.get_errno())}")
    os.chdir("/")
    if libc.umount2(b"/.old", _MNT_DETACH):
        raise OSError(ctypes.get_errno(), "umount of the old root")
    os.rmdir("/.old")  # noqa: PTH106
    _mount("none", "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _bind(path: str, stage: str, flags: int = _MS_RDONLY) -> None:
    """The host's file or folder at the same place below the stage; links stay links."""
    if not os.path.lexists(path) or os.path.lexists(f"{stage}{path}"):
        return
    os.makedirs(os.path.dirname(f"{stage}{path}"), exist_ok=True)  # noqa: PTH103, PTH120
    if os.path.islink(path):  # noqa: PTH114
        os.symlink(os.readlink(path), f"{stage}{path}")  # noqa: PTH211, PTH115
        return
    if os.path.isdir(path):  # noqa: PTH112
        os.mkdir(f"{stage}{path}")  # noqa: PTH102
    else:
        Path(f"{stage}{path}").touch()
    _mount(path, f"{stage}{path}", None, _MS_BIND | _MS_REC)
    if flags:
        _mount("none", f"{stage}{path}", None, _MS_BIND | _MS_REMOUNT | _MS_NOSUID | _MS_NODEV | flags)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(probe_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(probe_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def limit(limits: Limits) -> None:
    """Bound what this process and its children may use."""
    address_space = max(4 * limits.memory, 16 * 2**30)
    for name, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, address_space),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_NOFILE, 1024),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_CPU, int(2 * limits.notebook_seconds)),
    ):
        resource.setrlimit(name, (value, value))


def _give_up_rights(uid: int | None) -> None:
    """No capability, no way back to one."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            break
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    else:
        header = struct.pack("Ii", 0x20080522, 0)
        if libc.capset(header, struct.pack("6I", *[0] * 6)):
            raise OSError(ctypes.get_errno(), "capset")
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    die_with_parent()  # a change of user clears it


def _reap_until(child: int) -> int:
    """What the first process of a PID namespace does: buries whom it inherits, and ends with its own child."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child:
            return _code(status)


def _wait(child: int) -> int:
    return _code(os.waitpid(child, 0)[1])


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends; at once if that was `parent` and it has ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ended."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    encoded = kind.encode() if kind else None
    if libc.mount(source.encode(), target.encode(), encoded, ctypes.c_ulong(flags), options.encode() or None):
        raise OSError(ctypes.get_errno(), f"mount {target}: {os.strerror(ctypes.get_errno())}")
