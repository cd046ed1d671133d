"""Where torchrun's agents meet: on this machine alone, or at a named address of the orchestrator's."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import socket
import struct

_SIOCGIFADDR = 0x8915


@dataclasses.dataclass(frozen=True)
class Meeting:
    """What a machine needs to know of the others.

    Attributes:
        endpoint: host:port of the orchestrator's machine, whose agent holds torchrun's store.
        run_id: Keeps agents of an earlier launch out.
        nodes: "4", or "3:4" where one may be lost for good.
        node: This machine's number; 0 is the orchestrator's.
        join_seconds: How long agents wait for each other.
    """

    endpoint: str
    run_id: str
    nodes: str
    node: int
    join_seconds: int

    @property
    def host(self) -> str:
        return self.endpoint.rpartition(":")[0].strip("[]")


def torchrun_options(meeting: Meeting | None) -> list[str]:
    """The part of torchrun's command line that says who takes part."""
    if meeting is None:
        return [
            "--rdzv-backend=c10d",
            "--rdzv-endpoint=127.0.0.1:0",
            # Else the ranks look for each other under the machine's full name, which may not
            # resolve.
            "--local-addr=127.0.0.1",
            "--nnodes=1",
        ]
    # Agents are numbered in the order of these names, and only the first one's is ever called: rank
    # 0, which writes the checkpoints, is then always where the run folder is.
    own_name = meeting.host if meeting.node == 0 else f"~{meeting.node:05d}"
    settings = f"is_host={meeting.node == 0},join_timeout={meeting.join_seconds}"
    return [
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={meeting.endpoint}",
        f"--rdzv-id={meeting.run_id}",
        f"--rdzv-conf={settings}",
        f"--local-addr={own_name}",
        f"--nnodes={meeting.nodes}",
    ]


def interface_to(host: str) -> str | None:
    """The network interface over which this machine reaches a host; None when it cannot be told.

    gloo and NCCL would take the one that the machine's own name leads to, often loopback.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # Sends nothing.
            own = probe.getsockname()[0]
            for _, name in socket.if_nameindex():
                request = struct.pack("256s", name.encode()[:15])
                try:
                    answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                except OSError:
                    continue  # An interface without an address.
                if socket.inet_ntoa(answer[20:24]) == own:
                    return name
    except OSError:
        return None
    return None


def environment(threads: int, meeting: Meeting | None = None) -> dict[str, str]:
    """What torchrun and the ranks need in their environment.

    Thread counts are the experiment's, whatever the shell says; other values that the user set stay.
    """
    # All ranks of one machine: gloo must not pick an interface that cannot reach itself.
    interface = "lo" if meeting is None else interface_to(meeting.host)
    wanted = {
        # With a shared store the keys of the first generation break every elastic restart with
        # gloo.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        **({} if interface is None else {"GLOO_SOCKET_IFNAME": interface}),
        **({} if interface is None or meeting is None else {"NCCL_SOCKET_IFNAME": interface}),
    }
    unset = {name: value for name, value in wanted.items() if name not in os.environ}
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **unset}
