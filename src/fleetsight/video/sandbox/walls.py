"""The walls around the decoder process: resource limits, and a filter on system calls.

Called once inside the child, after its imports and before the first byte of the clip is looked at. From then on the process can
compute, read the descriptors it was given and write to its pipe. Opening a file, a socket or a process fails with EPERM, so that
a demuxer that follows a reference into another file finds nothing. Rejected: ``unshare``/bubblewrap (needs privileges or a system
package), an allow-list of calls (differs between C libraries and kernels). See docs/adr/0003-decode-sandbox.md.
"""

import ctypes
import platform
import resource
import sys
from itertools import chain

PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2  # linux/seccomp.h
ALLOW = 0x7FFF0000
DENY_EPERM = 0x00050001
LOAD_WORD, JUMP_EQUAL, JUMP_ABOVE, RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
X32_BIT = 0x40000000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h

# Numbers from the kernel's syscall tables (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
FORBIDDEN = {
    "x86_64": (
        (2, 85, 257, 437, 304),  # open creat openat openat2 open_by_handle_at
        (41, 42, 43, 49, 50, 53, 288),  # socket connect accept bind listen socketpair accept4
        (56, 57, 58, 435, 59, 322),  # clone fork vfork clone3 execve execveat
        (62, 200, 234, 424, 434, 438),  # kill tkill tgkill pidfd_send_signal pidfd_open pidfd_getfd
        (101, 310, 311),  # ptrace process_vm_readv process_vm_writev
        (76, 77, 285),  # truncate ftruncate fallocate
        (82, 264, 316, 83, 258, 84, 86, 265, 87, 263, 88, 266),  # rename* mkdir* rmdir link* unlink* symlink*
        (90, 91, 268, 92, 93, 94, 260, 133, 259),  # chmod* chown* mknod*
        (160, 302, 425, 426, 427, 321, 323, 319),  # setrlimit prlimit64 io_uring_* bpf userfaultfd memfd_create
        (29, 64, 68, 161, 165, 166, 272, 308, 250),  # shmget semget msgget chroot mount umount2 unshare setns keyctl
    ),
    "aarch64": (  # the same groups; this table has only the *at calls
        (56, 437, 265),
        (198, 203, 202, 200, 201, 199, 242),
        (220, 435, 221, 281),
        (129, 130, 131, 424, 434, 438),
        (117, 270, 271),
        (45, 46, 47),
        (38, 276, 34, 37, 35, 36),
        (53, 52, 54, 55, 33),
        (164, 261, 425, 426, 427, 280, 282, 279),
        (194, 190, 186, 51, 40, 39, 97, 268, 219),
    ),
}


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("if_true", ctypes.c_ubyte),
        ("if_false", ctypes.c_ubyte),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def limit_resources(*, ram_bytes: int, cpu_s: int, open_files: int) -> None:
    """Bound what this process may use; none of it can be raised again.

    Args:
        ram_bytes: address space, shared memory and libraries included (RLIMIT_AS).
        cpu_s: processor time; one second later the kernel kills.
        open_files: descriptors, those already open included.
    """
    resource.setrlimit(resource.RLIMIT_AS, (ram_bytes, ram_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def forbid_system_calls() -> bool:
    """Install the filter for this process, for good.

    Returns:
        False where the kernel or the architecture offers none; the resource limits then stand alone.
    """
    machine = platform.machine()
    if not sys.platform.startswith("linux") or machine not in FORBIDDEN:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    rules = _filter(AUDIT_ARCH[machine], tuple(chain.from_iterable(FORBIDDEN[machine])))
    program = _Program(len(rules), rules)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(arch: int, numbers: tuple[int, ...]) -> "ctypes.Array[_Instruction]":
    """Deny a foreign architecture, the x32 calls and the listed numbers; allow the rest (struct seccomp_data)."""
    deny = len(numbers) + 1  # the distance to the last instruction counts down from here
    rules = [
        (LOAD_WORD, 0, 0, 4),  # seccomp_data.arch
        (JUMP_EQUAL, 0, deny + 2, arch),
        (LOAD_WORD, 0, 0, 0),  # seccomp_data.nr
        (JUMP_ABOVE, deny, 0, X32_BIT),
    ]
    rules += [(JUMP_EQUAL, deny - 1 - place, 0, number) for place, number in enumerate(numbers)]
    rules += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, DENY_EPERM)]
    return (_Instruction * len(rules))(*(_Instruction(*rule) for rule in rules))
