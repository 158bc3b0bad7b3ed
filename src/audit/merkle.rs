//! The Merkle tree of RFC 6962, section 2.1 (the same hashes as RFC 9162, section 2.1.1).

use sha2::{Digest, Sha256};

/// A node of the tree.
pub type Node = [u8; 32];

/// Hash of a leaf: SHA-256(0x00 ‖ record).
#[must_use]
pub fn leaf_hash(record: &[u8]) -> Node {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(record);
    hash.finalize().into()
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Node, right: &Node) -> Node {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The right edge of a growing tree: all that is needed to append and to know the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Node>,
}

impl Frontier {
    /// The edge as it was stored; `None` when it cannot be one of a tree of that size.
    #[must_use]
    pub fn restore(size: u64, peaks: Vec<Node>) -> Option<Self> {
        (u64::from(size.count_ones()) == peaks.len() as u64).then_some(Self { size, peaks })
    }

    /// Leaves so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Node] {
        &self.peaks
    }

    /// Appends a leaf hash; amortised one node hash.
    pub fn push(&mut self, leaf: Node) {
        let mut hash = leaf;
        let mut size = self.size;
        while size & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
            size >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The tree head. For an empty tree: SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Node {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Sha256::digest([]).into(),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// The root over `leaves` (leaf hashes).
#[must_use]
pub fn root(leaves: &[Node]) -> Node {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// Where a tree of `size` ≥ 2 leaves is split: the largest power of two below `size`.
fn split(size: usize) -> usize {
    1 << (usize::BITS - 1 - (size - 1).leading_zeros())
}

/// The audit path of leaf `index` in the tree over `leaves`, lowest node first (RFC 6962, 2.1.1).
/// `None` when there is no such leaf.
#[must_use]
pub fn inclusion_proof(leaves: &[Node], index: usize) -> Option<Vec<Node>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut rest, mut index) = (leaves, index);
    while rest.len() > 1 {
        let (left, right) = rest.split_at(split(rest.len()));
        if index < left.len() {
            path.push(root(right));
            rest = left;
        } else {
            path.push(root(left));
            index -= left.len();
            rest = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Proves that the tree over the first `first` leaves is a prefix of the tree over `leaves`
/// (RFC 6962, 2.1.2). `None` unless 0 < `first` ≤ the number of leaves.
#[must_use]
pub fn consistency_proof(leaves: &[Node], first: usize) -> Option<Vec<Node>> {
    if first == 0 || first > leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut rest, mut first, mut known) = (leaves, first, true);
    while first < rest.len() {
        let (left, right) = rest.split_at(split(rest.len()));
        if first <= left.len() {
            path.push(root(right));
            rest = left;
        } else {
            path.push(root(left));
            first -= left.len();
            rest = right;
            known = false;
        }
    }
    if !known {
        path.push(root(rest));
    }
    path.reverse();
    Some(path)
}

/// Whether `path` shows that `leaf` is number `index` of the tree of `size` leaves with this `root`
/// (RFC 9162, 2.1.3.2).
#[must_use]
pub fn includes(leaf: &Node, index: u64, size: u64, path: &[Node], root: &Node) -> bool {
    if index >= size {
        return false;
    }
    let (mut fnode, mut snode) = (index, size - 1);
    let mut hash = *leaf;
    for step in path {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            hash = node_hash(step, &hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && hash == *root
}

/// Whether `path` shows that the tree (`first`, `first_root`) is a prefix of (`second`, `second_root`)
/// (RFC 9162, 2.1.4.2).
#[must_use]
pub fn consistent(first: u64, first_root: &Node, second: u64, second_root: &Node, path: &[Node]) -> bool {
    if first == 0 || first > second {
        return false;
    }
    if first == second {
        return path.is_empty() && first_root == second_root;
    }
    let mut steps = path.iter();
    let start = if first.is_power_of_two() {
        *first_root
    } else {
        match steps.next() {
            Some(step) => *step,
            None => return false,
        }
    };
    let (mut fnode, mut snode) = (first - 1, second - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut old, mut new) = (start, start);
    for step in steps {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            old = node_hash(step, &old);
            new = node_hash(step, &new);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            new = node_hash(&new, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && old == *first_root && new == *second_root
}
