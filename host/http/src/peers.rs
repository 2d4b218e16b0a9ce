//! Who may connect: so many at once, so many of one peer, and some that only operators and probes may use.
//!
//! When there is no place, the connection that has been without a request for longest makes room, or else the oldest one on which
//! no key was shown, whatever it waits for; where most have shown none, only these. Who only connects, or takes no answers, keeps
//! nobody out. When all are busy with requests of this shelf's users, what is left is for operators and probes.

use crate::requests::Requests;
use crate::telemetry;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;
use wares_model::limits::PEER_RESERVED_CONNECTIONS_MAX;

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub struct PeerBounds {
    /// Connections open at once, from all peers.
    pub open_max: usize,
    /// Of these, from one peer: an address of IPv4, or a network of 64 bits of IPv6.
    pub peer_max: usize,
    /// Of all, those that only operators and probes are served on.
    pub operators_min: usize,
}

/// All connections.
pub(crate) struct Peers {
    bounds: PeerBounds,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u64,
    connections: HashMap<u64, Known>,
    peers: HashMap<IpAddr, usize>,
    /// Those that would make room at the last look, of all or of one peer, the next one first.
    candidates: HashMap<Option<IpAddr>, VecDeque<Candidate>>,
}

/// A connection that may make room; in the order in which they do.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    is_busy: bool,
    idle_since: Option<Instant>,
    number: u64,
}

struct Known {
    peer: IpAddr,
    requests: Arc<Requests>,
}

/// The place of a connection, for as long as it is open.
pub(crate) struct Place {
    peers: Arc<Peers>,
    number: u64,
    pub(crate) requests: Arc<Requests>,
}

impl Peers {
    pub(crate) fn new(bounds: PeerBounds) -> Arc<Self> {
        Arc::new(Self { bounds, open: Mutex::default() })
    }

    /// A place for one more connection from this address, if there is one or one can be made.
    pub(crate) fn place(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let peer = peer(address);
        let PeerBounds { open_max, peer_max, operators_min } = self.bounds;
        let mut open = self.open.lock();
        let for_all = open_max.saturating_sub(operators_min);
        let peer_is_full = |open: &Open| open.peers.get(&peer).is_some_and(|count| *count >= peer_max);
        let is_full = |open: &Open| open.connections.len() >= for_all || peer_is_full(open);
        if is_full(&open) {
            let of_peer = peer_is_full(&open).then_some(peer);
            open.make_room(of_peer);
        }
        let requests = match is_full(&open) {
            false => Requests::default(),
            true if open.connections.len() < open_max && open.reserved_of(peer) < PEER_RESERVED_CONNECTIONS_MAX => {
                Requests::reserved()
            }
            true => {
                telemetry::refused();
                return None;
            }
        };
        let requests = Arc::new(requests);
        open.last += 1;
        let number = open.last;
        open.connections.insert(number, Known { peer, requests: Arc::clone(&requests) });
        *open.peers.entry(peer).or_default() += 1;
        telemetry::open(open.connections.len());
        Some(Place { peers: Arc::clone(self), number, requests })
    }
}

impl Open {
    /// Ends a connection, of this peer if it must be one of its.
    fn make_room(&mut self, peer: Option<IpAddr>) {
        let next = self.next_candidate(peer).or_else(|| {
            self.look_for_candidates(peer);
            self.next_candidate(peer)
        });
        if let Some(known) = next.and_then(|number| self.remove(number)) {
            known.requests.make_room();
        }
    }

    /// Connections of a peer on which only operators and probes are served.
    fn reserved_of(&self, peer: IpAddr) -> usize {
        let own = self.connections.values().filter(|known| known.peer == peer);
        own.filter(|known| known.requests.is_reserved()).count()
    }

    /// The next of those that were found at the last look and are as they were then.
    fn next_candidate(&mut self, peer: Option<IpAddr>) -> Option<u64> {
        let candidates = self.candidates.get_mut(&peer)?;
        std::iter::from_fn(|| candidates.pop_front()).find_map(|Candidate { is_busy, idle_since, number }| {
            let requests = &self.connections.get(&number)?.requests;
            let is_as_before = if is_busy { !requests.has_key() } else { requests.idle_since() == idle_since };
            is_as_before.then_some(number)
        })
    }

    /// Looks which connections may make room: those that are idle, then those without a key; but where most are without a key, only
    /// these. One look serves for many that make room: whatever is idle later is so for less long.
    fn look_for_candidates(&mut self, peer: Option<IpAddr>) {
        let all = self.connections.iter().filter(|(_, known)| peer.is_none_or(|peer| peer == known.peer));
        let all: Vec<_> = all.map(|(number, known)| (*number, &known.requests)).collect();
        let keyless = all.iter().filter(|(_, requests)| !requests.has_key()).count();
        let are_most = keyless * 2 >= all.len();
        let candidates = all.into_iter().filter_map(|(number, requests)| {
            let idle_since = requests.idle_since();
            let may = !requests.has_key() || (idle_since.is_some() && !are_most);
            may.then_some(Candidate { is_busy: idle_since.is_none(), idle_since, number })
        });
        let mut candidates: Vec<_> = candidates.collect();
        candidates.sort_unstable();
        self.candidates.insert(peer, candidates.into());
    }

    fn remove(&mut self, number: u64) -> Option<Known> {
        let known = self.connections.remove(&number)?;
        if let Some(count) = self.peers.get_mut(&known.peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&known.peer);
                self.candidates.remove(&Some(known.peer));
            }
        }
        Some(known)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // One that made room has none any more.
        let mut open = self.peers.open.lock();
        open.remove(self.number);
        telemetry::open(open.connections.len());
    }
}

/// Whose address it is: who has one of IPv6 has a network of them.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::Ongoing;
    use axum::http::Version;

    fn peers(open_max: usize, peer_max: usize, operators_min: usize) -> Arc<Peers> {
        Peers::new(PeerBounds { open_max, peer_max, operators_min })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// A request that is open, of somebody whose key this shelf knows.
    fn busy(place: &Place) -> Ongoing {
        place.requests.show_key();
        place.requests.begin(Version::HTTP_11)
    }

    #[test]
    fn who_was_idle_for_longest_makes_room() {
        let peers = peers(3, 3, 1);
        let [first, second] = [1, 2].map(|last| peers.place(address(last)).unwrap());
        let working = busy(&first);
        let third = peers.place(address(3)).unwrap();
        assert!(!third.requests.is_reserved());
        assert_eq!(peers.open.lock().connections.len(), 2, "the second one made room");
        drop(second);
        assert_eq!(peers.open.lock().connections.len(), 2);

        let _working = busy(&third);
        let reserved = peers.place(address(1)).unwrap();
        assert!(reserved.requests.is_reserved(), "all others are busy");
        let probe = reserved.requests.begin(Version::HTTP_11);
        let next = peers.place(address(1)).unwrap();
        assert!(next.requests.is_reserved(), "a probe that is not taken keeps nobody out");
        assert_eq!(peers.open.lock().connections.len(), 3);
        drop((probe, working));
        assert!(peers.place(address(1)).unwrap().requests.is_reserved(), "the first one made room among the last");
        drop((first, third, reserved, next));
        assert!(peers.open.lock().connections.is_empty() && peers.open.lock().peers.is_empty());
    }

    #[test]
    fn a_peer_has_its_part_and_makes_room_for_itself_only() {
        let peers = peers(100, 1, 1);
        let (one, other) = (peers.place(address(1)).unwrap(), peers.place(address(2)).unwrap());
        let again = peers.place(address(1)).unwrap();
        assert!(!again.requests.is_reserved());
        let _working = busy(&again);
        let reserved: Vec<_> = std::iter::from_fn(|| {
            let place = peers.place(address(1))?;
            assert!(place.requests.is_reserved());
            let working = busy(&place);
            Some((place, working))
        })
        .collect();
        assert_eq!(reserved.len(), PEER_RESERVED_CONNECTIONS_MAX);
        assert!(other.requests.idle_since().is_some() && peers.place(address(2)).is_some());
        drop(one);
    }

    #[test]
    fn who_shows_no_key_makes_room_whatever_it_waits_for() {
        let peers = peers(3, 2, 1);
        let strangers = [1, 2].map(|last| peers.place(address(last)).unwrap());
        let _waiting = strangers.each_ref().map(|stranger| stranger.requests.begin(Version::HTTP_2));
        let user = peers.place(address(3)).unwrap();
        assert!(!user.requests.is_reserved());
        assert_eq!(peers.open.lock().connections.keys().copied().max(), Some(3));
        assert!(!peers.open.lock().connections.contains_key(&1), "the oldest one made room");
    }

    #[test]
    fn addresses_of_one_network_are_one_peer() {
        let cases =
            [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")];
        for (address, expected) in cases {
            assert_eq!(peer(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{address}");
        }
    }
}
