//! Who reads which topic, and what waits to be written to them.
//!
//! Invariant: a reader's place and the topic's list of readers always agree; leaving costs the
//! same however many read. A topic exists as long as it has a reader.

use std::collections::HashMap;
use std::hash::Hash;

use crate::Frame;
use crate::batch::{Batch, Published};

/// One reader of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) slot: u32,
    /// How many of the waiting frames are not for it: published before it came, or sent already.
    pub(crate) skip: usize,
}

#[derive(Debug)]
pub(crate) struct Topic<K> {
    key: K,
    readers: Vec<Reader>,
    pending: Vec<Published>,
    bytes: usize,
}

/// Where a socket stands in a topic.
#[derive(Clone, Copy, Debug)]
struct Place {
    topic: u32,
    position: u32,
}

/// All topics of one loop.
#[derive(Debug)]
pub(crate) struct Topics<K> {
    ids: HashMap<K, u32>,
    list: Vec<Option<Topic<K>>>,
    free: Vec<u32>,
    /// Topics with something to write.
    dirty: Vec<u32>,
    /// The most bytes that wait in one of them.
    longest: usize,
    /// How many frames were published.
    published: u64,
    /// By slot.
    places: Vec<Vec<Place>>,
}

impl<K: Hash + Eq + Clone> Topics<K> {
    pub(crate) fn new() -> Self {
        Self {
            ids: HashMap::new(),
            list: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            longest: 0,
            published: 0,
            places: Vec::new(),
        }
    }

    /// Adds a reader, for what is published from now on; once is enough.
    pub(crate) fn join(&mut self, key: K, slot: u32) {
        let id = self.id_of(key);
        let seat = slot as usize;
        if self.places.len() <= seat {
            self.places.resize_with(seat + 1, Vec::new);
        }
        if self.places[seat].iter().any(|place| place.topic == id) {
            return;
        }
        let Some(topic) = &mut self.list[id as usize] else {
            return;
        };
        self.places[seat].push(Place { topic: id, position: topic.readers.len() as u32 });
        let skip = topic.pending.len();
        topic.readers.push(Reader { slot, skip });
    }

    fn id_of(&mut self, key: K) -> u32 {
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let topic = Topic { key: key.clone(), readers: Vec::new(), pending: Vec::new(), bytes: 0 };
        let id = if let Some(id) = self.free.pop() {
            self.list[id as usize] = Some(topic);
            id
        } else {
            self.list.push(Some(topic));
            (self.list.len() - 1) as u32
        };
        self.ids.insert(key, id);
        id
    }

    pub(crate) fn leave(&mut self, key: &K, slot: u32) {
        let Some(&id) = self.ids.get(key) else {
            return;
        };
        let Some(places) = self.places.get_mut(slot as usize) else {
            return;
        };
        if let Some(index) = places.iter().position(|place| place.topic == id) {
            let place = places.swap_remove(index);
            self.vacate(place);
        }
    }

    /// Takes a socket out of all its topics.
    pub(crate) fn leave_all(&mut self, slot: u32) {
        let Some(places) = self.places.get_mut(slot as usize) else {
            return;
        };
        for place in std::mem::take(places) {
            self.vacate(place);
        }
    }

    /// Removes a reader whose own record of the place is gone already.
    fn vacate(&mut self, place: Place) {
        let Some(topic) = &mut self.list[place.topic as usize] else {
            return;
        };
        topic.readers.swap_remove(place.position as usize);
        if let Some(moved) = topic.readers.get(place.position as usize) {
            let places = &mut self.places[moved.slot as usize];
            if let Some(its) = places.iter_mut().find(|its| its.topic == place.topic) {
                its.position = place.position;
            }
        } else if topic.readers.is_empty() {
            self.ids.remove(&topic.key);
            self.list[place.topic as usize] = None;
            self.free.push(place.topic);
        }
    }

    /// Puts a frame before the readers of a topic; nothing happens where nobody reads.
    pub(crate) fn publish(&mut self, key: &K, seq: u64, frame: Frame) {
        let Some(&id) = self.ids.get(key) else {
            return;
        };
        if let Some(topic) = &mut self.list[id as usize] {
            if topic.pending.is_empty() {
                self.dirty.push(id);
            }
            topic.bytes += frame.bytes().len();
            self.published += 1;
            topic.pending.push(Published { seq, order: self.published, frame });
            self.longest = self.longest.max(topic.bytes);
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The most bytes that wait in one topic.
    pub(crate) fn longest_wait(&self) -> usize {
        self.longest
    }

    pub(crate) fn take_dirty(&mut self) -> Vec<u32> {
        self.longest = 0;
        std::mem::take(&mut self.dirty)
    }

    /// What waits in a topic, as one batch; its readers are [`Self::reader`] from 0 on.
    pub(crate) fn take_batch(&mut self, topic: u32) -> Option<Batch> {
        let topic = self.list[topic as usize].as_mut()?;
        topic.bytes = 0;
        let pending = std::mem::take(&mut topic.pending);
        (!pending.is_empty()).then(|| Batch::new(pending))
    }

    /// The reader at a position, whose `skip` is hereby used up.
    pub(crate) fn take_reader(&mut self, topic: u32, position: usize) -> Option<Reader> {
        let topic = self.list[topic as usize].as_mut()?;
        let reader = topic.readers.get_mut(position)?;
        let taken = *reader;
        reader.skip = 0;
        Some(taken)
    }

    /// Slots of a topic's readers.
    pub(crate) fn readers(&self, key: &K) -> Vec<u32> {
        let topic = self.ids.get(key).and_then(|id| self.list[*id as usize].as_ref());
        topic
            .map_or_else(Vec::new, |topic| topic.readers.iter().map(|reader| reader.slot).collect())
    }

    /// The slots for which something waits in more than one topic.
    pub(crate) fn waiting_in_several(&self) -> Vec<u32> {
        if self.dirty.len() < 2 {
            return Vec::new();
        }
        let topics = self.dirty.iter().filter_map(|id| self.list[*id as usize].as_ref());
        let of_several = |slot: &u32| self.places[*slot as usize].len() > 1;
        let readers = topics.flat_map(|topic| topic.readers.iter().map(|reader| reader.slot));
        let mut slots: Vec<u32> = readers.filter(of_several).collect();
        slots.sort_unstable();
        let mut several: Vec<u32> =
            slots.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
        several.dedup();
        several
    }

    /// What waits for one socket in all its topics, in the order in which it was published; it is
    /// hereby sent as far as the topics know.
    pub(crate) fn take_waiting(&mut self, slot: u32) -> Vec<Published> {
        let mut waiting: Vec<Published> = Vec::new();
        if self.dirty.is_empty() {
            return waiting;
        }
        for place in self.places.get(slot as usize).map_or(&[][..], Vec::as_slice) {
            if let Some(topic) = &mut self.list[place.topic as usize] {
                let reader = &mut topic.readers[place.position as usize];
                waiting.extend_from_slice(&topic.pending[reader.skip..]);
                reader.skip = topic.pending.len();
            }
        }
        waiting.sort_unstable_by_key(|published| published.order);
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn texts(waiting: &[Published]) -> Vec<Bytes> {
        waiting.iter().map(|p| p.frame.bytes().slice(2..)).collect()
    }

    #[test]
    fn a_reader_gets_what_was_published_after_it_came() {
        let mut topics = Topics::new();
        topics.join("t", 0);
        topics.publish(&"t", 0, "a".into());
        topics.join("t", 1);
        topics.publish(&"t", 0, "b".into());
        assert_eq!(texts(&topics.take_waiting(1)), ["b"]);
        assert_eq!(texts(&topics.take_waiting(1)), [""; 0]);
        assert_eq!(topics.take_dirty(), [0]);
        assert_eq!(topics.take_batch(0).unwrap().frames.len(), 2);
        assert_eq!(topics.take_reader(0, 0).unwrap().skip, 0);
        assert_eq!(topics.take_reader(0, 1).unwrap().skip, 2);
        assert_eq!(topics.take_reader(0, 1).unwrap().skip, 0, "used up");
    }

    #[test]
    fn what_waits_in_several_topics_keeps_the_order_in_which_it_was_published() {
        let mut topics = Topics::new();
        topics.join("a", 0);
        topics.join("b", 0);
        topics.join("b", 1);
        topics.join("c", 2);
        for (topic, text) in [("a", "1"), ("b", "2"), ("c", "x"), ("a", "3"), ("b", "4")] {
            topics.publish(&topic, 0, text.into());
        }
        assert_eq!(topics.waiting_in_several(), [0]);
        assert_eq!(texts(&topics.take_waiting(0)), ["1", "2", "3", "4"]);
        assert_eq!(texts(&topics.take_waiting(1)), ["2", "4"]);
    }

    #[test]
    fn places_stay_right_whoever_leaves() {
        let mut topics = Topics::new();
        for slot in 0..50 {
            topics.join("a", slot);
            topics.join("a", slot);
            topics.join("b", slot);
        }
        for slot in (0..50).filter(|slot| slot % 3 == 0) {
            topics.leave(&"a", slot);
        }
        for slot in (0..50).filter(|slot| slot % 7 == 0) {
            topics.leave_all(slot);
        }
        let mut left = topics.readers(&"a");
        left.sort_unstable();
        let expected: Vec<u32> = (0..50).filter(|slot| slot % 3 != 0 && slot % 7 != 0).collect();
        assert_eq!(left, expected);
        for slot in 0..50 {
            topics.leave_all(slot);
        }
        assert!(topics.ids.is_empty() && topics.free.len() == 2);
        topics.join("c", 3);
        assert_eq!(topics.readers(&"c"), [3]);
        topics.publish(&"a", 0, "nobody reads this".into());
        assert!(!topics.is_dirty());
    }
}
