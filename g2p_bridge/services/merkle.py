"""A Merkle tree over lines that pass by: one root for all, and a proof for each (RFC 6962).

Memory grows with the depth of the tree, not with the number of lines.
"""

import hashlib

_LEAF, _NODE = b"\x00", b"\x01"


class MerkleTree:
    """The tree of the leaves that were added so far.

    :param bytes target: the leaf hash whose way to the root is kept; by default none
    """

    def __init__(self, target=None):
        self.size = 0
        #: steps from the target to the root: (``L`` or ``R``, hash of the other side)
        self.path = []
        self._target = target
        self._peaks = []  # (height, hash, whether the target is below), from left to right

    def add(self, leaf):
        """Add the bytes of the next leaf."""
        digest = leaf_hash(leaf)
        self.size += 1
        peak = (0, digest, digest == self._target)
        while self._peaks and self._peaks[-1][0] == peak[0]:
            peak = self._joined(self._peaks.pop(), peak)
        self._peaks.append(peak)

    def root(self):
        """Return the root hash (bytes); nothing may be added any more."""
        if not self._peaks:
            return hashlib.sha256().digest()
        peak = self._peaks.pop()
        while self._peaks:
            peak = self._joined(self._peaks.pop(), peak)
        self._peaks.append(peak)
        return peak[1]

    def has_target(self):
        """Say whether the target was among the leaves; asked after :meth:`root`."""
        return any(is_target for _height, _digest, is_target in self._peaks)

    def _joined(self, left, right):
        if left[2]:
            self.path.append(("R", right[1]))
        elif right[2]:
            self.path.append(("L", left[1]))
        digest = hashlib.sha256(_NODE + left[1] + right[1]).digest()
        return (max(left[0], right[0]) + 1, digest, left[2] or right[2])


def leaf_hash(leaf):
    """Return the hash (bytes) of a leaf's bytes."""
    return hashlib.sha256(_LEAF + leaf).digest()
