#!/usr/bin/env python3
"""Sees which host holds an address, and every advert on the wire, until standard input ends. Then all of it as
JSON. It believes the kernel and nobody else."""

import argparse
import ctypes
import json
import selectors
import socket
import struct
import sys
import time

import realtime

CLONE_NEWNET = 0x40000000
RTMGRP_IPV4_IFADDR = 0x10
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
IFA_LOCAL = 2
VRRP = 112
GROUP = "224.0.0.18"


def enter(namespace):
    """This process makes its next sockets there."""
    with open(f"/run/netns/{namespace}", "rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def address_socket():
    """Tells of changes of addresses, and first of those that are there."""
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    link.bind((0, RTMGRP_IPV4_IFADDR))
    body = struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0)
    link.send(struct.pack("=IHHII", 16 + len(body), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
    return link


def advert_socket(group=GROUP):
    """Hears adverts as any member of the group does."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, VRRP)
    member = struct.pack("4s4si", socket.inet_aton(group), socket.inet_aton("0.0.0.0"), socket.if_nametoindex("eth0"))
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    return raw


def changes(messages, wanted):
    """From a netlink datagram: whether `wanted` was added (`True`) or removed, as often as it says so."""
    found = []
    while len(messages) >= 16:
        length, kind = struct.unpack_from("=IH", messages)
        if kind in (RTM_NEWADDR, RTM_DELADDR) and local(messages[24:length]) == wanted:
            found.append(kind == RTM_NEWADDR)
        messages = messages[(length + 3) & ~3 :]
    return found


def local(attributes):
    """The address among the attributes of a message."""
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == IFA_LOCAL:
            return socket.inet_ntoa(attributes[4:8])
        attributes = attributes[max(4, (length + 3) & ~3) :]
    return None


def advert(packet):
    """Source, version and priority of an advert with its IP header."""
    begin = (packet[0] & 0x0F) * 4
    return socket.inet_ntoa(packet[12:16]), packet[begin] >> 4, packet[begin + 2]


def watch(selector, wanted, until):
    """All that is seen: address changes by host, adverts by sender."""
    holds, held, adverts = {}, [], []
    while True:
        for key, _ in selector.select():
            now = time.monotonic()
            if key.fileobj is until:
                return {"held": held, "adverts": adverts}
            packet = key.fileobj.recv(65536)
            if key.data is None:
                adverts.append((now, *advert(packet)))
                continue
            for added in changes(packet, wanted):
                # The lifetime of an address is renewed by adding it again: no change.
                if holds.get(key.data, False) != added:
                    holds[key.data] = added
                    held.append((now, key.data, added))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="the address")
    parser.add_argument("--hosts", required=True, help="NAME=NAMESPACE,..")
    parser.add_argument("--listen", required=True, help="the namespace to hear adverts in")
    options = parser.parse_args()
    selector = selectors.DefaultSelector()
    for host in options.hosts.split(","):
        name, namespace = host.split("=")
        enter(namespace)
        selector.register(address_socket(), selectors.EVENT_READ, name)
    enter(options.listen)
    selector.register(advert_socket(), selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ, "")
    realtime.begin()
    realtime.ready()
    json.dump(watch(selector, options.address, sys.stdin), sys.stdout)


if __name__ == "__main__":
    main()
