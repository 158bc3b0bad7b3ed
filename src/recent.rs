//! A bounded map that forgets what was not used lately.

use std::collections::HashMap;
use std::hash::Hash;

/// Two generations of at most `half` entries each: when the young one is full it becomes the old
/// one and the former old one is dropped. What is used moves to the young one, so an entry is
/// forgotten only after `half` others were used since. Every operation takes constant time.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    /// Holds between `half` and twice `half` of the entries last used.
    pub(crate) fn new(half: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half,
        }
    }

    /// The entry, which now counts as used.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(key) {
            self.put(key.clone(), value);
        }
        self.young.get_mut(key)
    }

    /// Adds or replaces an entry.
    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let mut recent = Recent::new(10);
        recent.put(0, "kept");
        for n in 1..1000 {
            recent.put(n, "passing");
            assert_eq!(recent.get(&0), Some(&mut "kept"), "after {n}");
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!(recent.get(&1), None);
        recent.remove(&0);
        assert_eq!(recent.get(&0), None);
    }
}
