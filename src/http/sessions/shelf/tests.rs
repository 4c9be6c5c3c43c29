use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;

/// A session that is used as the test says.
#[derive(Clone, Debug)]
struct Played {
    agent: Handle,
    token: TokenId,
    id: SessionId,
    idle_since: Arc<Mutex<Option<Instant>>>,
}

impl Kept for Played {
    fn agent(&self) -> &Handle {
        &self.agent
    }
    fn token(&self) -> &TokenId {
        &self.token
    }
    fn id(&self) -> &SessionId {
        &self.id
    }
    fn idle_since(&self) -> Option<Instant> {
        *self.idle_since.lock().unwrap()
    }
}

struct Play {
    shelf: Shelf<Played>,
    began: Instant,
}

impl Play {
    fn new(of_one: usize, of_all: usize) -> Self {
        Self {
            shelf: Shelf::new(Bounds { of_one, of_all }),
            began: Instant::now() - Duration::from_secs(1),
        }
    }

    /// Opens a session, used at this step or in use; and says which one had to go for it, or that
    /// there is no room.
    fn open(
        &mut self,
        agent: &str,
        token: char,
        id: &str,
        used: Option<u64>,
    ) -> Result<String, NoRoom> {
        let agent: Handle = agent.parse().unwrap();
        let gone = self.shelf.in_the_way(&agent)?;
        if let Some(gone) = &gone {
            let gone_now = self.shelf.take(&gone.agent, &gone.token, &gone.id);
            assert_eq!(gone_now.unwrap().id, gone.id);
        }
        let token = format!("tok_{}", token.to_string().repeat(12)).parse().unwrap();
        let idle_since = Arc::new(Mutex::new(used.map(|step| self.at(step))));
        self.shelf.put(Played { agent, token, id: id.into(), idle_since });
        Ok(gone.map_or_else(String::new, |gone| gone.id.to_string()))
    }

    fn at(&self, step: u64) -> Instant {
        self.began + Duration::from_millis(step)
    }

    fn used(&self, id: &str, step: Option<u64>) {
        let session = self.shelf.all().find(|session| &*session.id == id).unwrap();
        *session.idle_since.lock().unwrap() = step.map(|step| self.at(step));
    }

    fn here(&self) -> Vec<String> {
        let mut here: Vec<_> = self.shelf.all().map(|session| session.id.to_string()).collect();
        here.sort();
        let kept: usize = self.shelf.agents.values().map(HashMap::len).sum();
        assert_eq!(kept, here.len(), "one has gone from one place and not from the other");
        here
    }
}

#[test]
fn an_agent_has_so_many_sessions_by_all_its_tokens_together() {
    let mut play = Play::new(2, 9);
    assert_eq!(play.open("a", 'a', "1", Some(1)).unwrap(), "");
    assert_eq!(play.open("b", 'b', "2", Some(0)).unwrap(), "");
    assert_eq!(play.open("a", 'c', "3", Some(2)).unwrap(), "");
    assert_eq!(play.open("a", 'd', "4", Some(3)).unwrap(), "1", "its own, by another token");
    play.used("3", None);
    play.used("4", None);
    assert!(play.open("a", 'e', "5", Some(4)).is_err(), "both are in use");
    assert_eq!(play.open("b", 'b', "6", Some(4)).unwrap(), "", "and no other agent is kept out");
    assert_eq!(play.here(), ["2", "3", "4", "6"]);
}

#[test]
fn where_all_have_as_many_as_there_may_be_the_longest_idle_of_all_goes() {
    let mut play = Play::new(9, 3);
    play.open("a", 'a', "1", Some(1)).unwrap();
    play.open("a", 'a', "2", Some(2)).unwrap();
    play.open("b", 'b', "3", Some(3)).unwrap();
    assert_eq!(play.open("c", 'c', "4", Some(4)).unwrap(), "1", "of another agent");
    play.used("2", Some(5));
    assert_eq!(play.open("c", 'c', "5", Some(6)).unwrap(), "3", "the other was used since");
    for id in ["2", "4", "5"] {
        play.used(id, None);
    }
    assert!(play.open("d", 'd', "6", Some(7)).is_err(), "all are in use");
    play.used("5", Some(8));
    assert_eq!(play.open("d", 'd', "6", Some(9)).unwrap(), "5");
    assert_eq!(play.here(), ["2", "4", "6"]);
}

#[test]
fn a_session_is_found_by_its_own_token_only() {
    let mut play = Play::new(9, 9);
    play.open("a", 'a', "1", Some(1)).unwrap();
    let own = play.shelf.all().next().unwrap().clone();
    let other: TokenId = format!("tok_{}", "b".repeat(12)).parse().unwrap();
    let stranger: Handle = "b".parse().unwrap();
    assert!(play.shelf.get(&own.agent, &other, "1").is_none());
    assert!(play.shelf.get(&stranger, &own.token, "1").is_none());
    assert!(play.shelf.take(&own.agent, &other, "1").is_none());
    assert!(play.shelf.get(&own.agent, &own.token, "1").is_some());
    assert!(play.shelf.take(&own.agent, &own.token, "1").is_some());
    assert!(play.here().is_empty());
}
