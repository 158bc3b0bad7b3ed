use proptest::prelude::*;

use crate::audit::merkle::*;
use crate::call::hex;

/// The eight leaves and roots with which Certificate Transparency implementations test themselves.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn roots_are_those_of_rfc_6962() {
    let leaves: Vec<Node> = LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect();
    for (size, expected) in ROOTS.iter().enumerate() {
        assert_eq!(hex(&root(&leaves[..size])), *expected, "{size} leaves");
    }
}

fn some_leaves(count: usize) -> Vec<Node> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

#[test]
fn a_frontier_that_fits_no_tree_is_not_restored() {
    assert!(Frontier::restore(3, some_leaves(2)).is_some());
    assert!(Frontier::restore(3, some_leaves(1)).is_none());
    assert!(Frontier::restore(4, some_leaves(2)).is_none());
}

proptest! {
    #[test]
    fn inclusion_is_shown_for_every_leaf_and_no_other(size in 1_usize..70, other in 0_usize..70) {
        let leaves = some_leaves(size);
        let head = root(&leaves);
        for (index, leaf) in leaves.iter().enumerate() {
            let path = inclusion_proof(&leaves, index).expect("a leaf");
            prop_assert!(includes(leaf, index as u64, size as u64, &path, &head));
            let wrong = other % size;
            if wrong != index {
                prop_assert!(!includes(&leaves[wrong], index as u64, size as u64, &path, &head));
            }
            prop_assert!(!includes(leaf, index as u64, size as u64, &path, &leaf_hash(b"other")));
        }
        prop_assert!(inclusion_proof(&leaves, size).is_none());
    }

    #[test]
    fn consistency_is_shown_for_every_prefix_and_no_other(size in 1_usize..70, changed in 0_usize..70) {
        let leaves = some_leaves(size);
        let head = root(&leaves);
        for first in 1..=size {
            let path = consistency_proof(&leaves, first).expect("a prefix");
            prop_assert!(consistent(first as u64, &root(&leaves[..first]), size as u64, &head, &path));
            let mut other = leaves[..first].to_vec();
            other[changed % first] = leaf_hash(b"changed");
            prop_assert!(!consistent(first as u64, &root(&other), size as u64, &head, &path));
        }
        prop_assert!(consistency_proof(&leaves, size + 1).is_none());
        prop_assert!(consistency_proof(&leaves, 0).is_none());
    }
}
