use std::sync::mpsc;

use tokio::{sync::oneshot, task::yield_now};

use super::{Busy, Seat, Seats};

/// A connection that sits until it is closed.
struct Sitting {
    seat: Seat,
    gone: oneshot::Receiver<()>,
}

impl Sitting {
    fn is_gone(&mut self) -> bool {
        self.gone.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }
}

/// Takes a seat, if there is one to be had.
fn sit(seats: &Seats) -> Option<Sitting> {
    let (sender, taken) = mpsc::channel();
    seats.take(|seat| {
        let (here, gone) = oneshot::channel::<()>();
        let own = seat.clone();
        let _ = sender.send(Sitting { seat, gone });
        tokio::spawn(async move {
            let _kept = (own, here);
            std::future::pending::<()>().await;
        })
    });
    taken.try_recv().ok()
}

#[tokio::test]
async fn the_oldest_stranger_that_asks_nothing_gives_way() {
    let seats = Seats::new(3);
    let (mut busy, mut stranger, mut newer) =
        (sit(&seats).unwrap(), sit(&seats).unwrap(), sit(&seats).unwrap());
    let _request = busy.seat.busy();
    let mut next = sit(&seats).unwrap();
    yield_now().await;
    assert!(stranger.is_gone());
    assert!(!busy.is_gone() && !newer.is_gone() && !next.is_gone());
}

#[tokio::test]
async fn who_has_shown_a_token_stays_before_strangers_and_then_the_longest_idle_goes() {
    let seats = Seats::new(2);
    let (mut first, mut second) = (sit(&seats).unwrap(), sit(&seats).unwrap());
    first.seat.busy().unwrap().by_known();
    let mut third = sit(&seats).unwrap();
    yield_now().await;
    assert!(second.is_gone() && !first.is_gone());
    third.seat.busy().unwrap().by_known();
    drop(first.seat.busy());
    let mut fourth = sit(&seats).unwrap();
    yield_now().await;
    assert!(third.is_gone() && !first.is_gone() && !fourth.is_gone());
}

#[tokio::test]
async fn where_all_are_busy_the_next_is_turned_away_until_one_is_not() {
    let seats = Seats::new(2);
    let (mut one, mut other) = (sit(&seats).unwrap(), sit(&seats).unwrap());
    let (request, _stream) = (one.seat.busy(), other.seat.busy());
    assert!(sit(&seats).is_none());
    drop(request);
    assert!(sit(&seats).is_some());
    yield_now().await;
    assert!(one.is_gone() && !other.is_gone());
}

#[tokio::test]
async fn nothing_is_begun_on_a_seat_that_was_taken_away() {
    let seats = Seats::new(1);
    let old = sit(&seats).unwrap();
    let _new = sit(&seats).unwrap();
    assert!(old.seat.busy().is_none());
}

#[tokio::test]
async fn one_agent_fills_a_part_of_the_seats_and_another_gets_the_rest() {
    const MOST: usize = 12;
    let seats = Seats::new(MOST);
    let (one, other) = ("one".parse().unwrap(), "other".parse().unwrap());
    let sitting: Vec<_> = (0..MOST).map(|_| sit(&seats).unwrap()).collect();
    let mut busy: Vec<_> = sitting.iter().map(|sitting| sitting.seat.busy().unwrap()).collect();
    let admitted = busy.iter_mut().filter_map(|busy| busy.by(&one).then_some(busy));
    let streams = admitted.map(Busy::streams).collect::<Vec<_>>();
    assert_eq!(streams, [true, true, false, false, false, false], "six under way, two streams");
    let last = busy.last_mut().unwrap();
    assert!(last.by(&other) && last.streams(), "the other is not kept out");
    drop(busy.drain(..2));
    let mut again = sitting[0].seat.busy().unwrap();
    assert!(again.by(&one) && again.streams(), "what has ended counts no more");
    drop((busy, again));
    assert!(seats.lock().agents.is_empty());
}
