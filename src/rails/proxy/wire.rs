//! Makes calls.

use std::{fmt, sync::OnceLock, time::Duration};

use reqwest::{Certificate, Client, redirect::Policy, retry};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    answer::Answer,
    call::Call,
    guard::Guard,
    scrub::Scrub,
    trouble::{Broken, Trouble, Unsent, before_answer},
};

/// How long a connection may take to come about: its name, TCP and TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// So much longer a call takes at least: what runs out while it connects would prove nothing.
const SLACK: Duration = Duration::from_secs(1);
/// How often a connection is tried.
const ATTEMPTS: u32 = 3;
/// How long is waited before the second time. Before each further one, four times as long.
const PAUSE: Duration = Duration::from_millis(100);
/// How many headers an answer may have. It may have 400 KiB of them.
const MAX_HEADERS: usize = 128;
/// How long a connection waits for another call. Many servers close it after five seconds, and a
/// call that meets such an end on its way is in doubt.
const IDLE: Duration = Duration::from_secs(4);
/// How many connections to one host wait.
const MAX_IDLE: usize = 16;

/// How a wire is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it asks which addresses there are.
    pub guard: Guard,
    /// How long a connection may take to come about.
    pub connect: Duration,
    /// How long is waited before connecting a second time.
    pub pause: Duration,
    /// Who signs the certificates of the other sides, in DER. None: whom this machine trusts.
    pub trusted: Option<Vec<Vec<u8>>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { guard: Guard::default(), connect: CONNECT, pause: PAUSE, trusted: None }
    }
}

/// Makes calls, over connections that are kept for a moment.
///
/// It follows no redirect, goes over no proxy, unpacks nothing, and sends a request once.
pub struct Wire {
    setup: Setup,
    /// For sites of this machine.
    plain: OnceLock<Client>,
    encrypted: OnceLock<Client>,
}

impl Default for Wire {
    fn default() -> Self {
        Self::new(Setup::default())
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

/// What is sure of a call.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing was sent, and that is proved.
    NotSent(Unsent),
    /// An answer, of which the head is there.
    Answered(Box<Answer>),
    /// Something was or may have been sent, and there is no answer.
    Broken(Broken),
}

impl Wire {
    /// A wire that is set up so. Certificates are read when the first call needs them.
    pub fn new(setup: Setup) -> Self {
        Self { setup, plain: OnceLock::new(), encrypted: OnceLock::new() }
    }

    /// Makes a call. Only what is proved not to have been sent is tried again, while there is time.
    pub async fn call(&self, call: &Call<'_>) -> Outcome {
        let started = Instant::now();
        let deadline = started + call.within.max(self.setup.connect + SLACK);
        let mut pause = self.setup.pause;
        for _ in 1..ATTEMPTS {
            let outcome = self.attempt(call, deadline).await;
            let again = matches!(&outcome, Outcome::NotSent(unsent) if unsent.is_temporary());
            if !again || Instant::now() + pause + self.setup.connect + SLACK > deadline {
                return outcome;
            }
            sleep(pause).await;
            pause *= 4;
        }
        self.attempt(call, deadline).await
    }

    async fn attempt(&self, call: &Call<'_>, deadline: Instant) -> Outcome {
        let request = match call.request() {
            Ok(request) => request,
            Err(unsent) => return Outcome::NotSent(unsent),
        };
        // An address in a URL is connected to without a look-up.
        if let Some(address) = call.site.address()
            && self.setup.guard.admit(call.site.reach(), address).is_err()
        {
            return Outcome::NotSent(Unsent::Refused);
        }
        let Some(client) = self.client(call.site.is_encrypted()) else {
            return Outcome::NotSent(Unsent::NoCertificates);
        };
        match timeout_at(deadline, client.execute(request)).await {
            Err(_) => Outcome::Broken(Broken::TimedOut),
            Ok(Err(error)) => match before_answer(&error) {
                Trouble::Unsent(unsent) => Outcome::NotSent(unsent),
                Trouble::Broken(broken) => Outcome::Broken(broken),
            },
            Ok(Ok(response)) => {
                let scrub = Scrub::new(call.secret.as_ref().map(|carried| carried.secret));
                let answer = Answer::new(response, call.keep, scrub, deadline, call.max_body);
                Outcome::Answered(Box::new(answer))
            }
        }
    }

    fn client(&self, encrypted: bool) -> Option<&Client> {
        let place = if encrypted { &self.encrypted } else { &self.plain };
        if let Some(client) = place.get() {
            return Some(client);
        }
        // What fails is tried again for the next call: certificates may be installed by then.
        let client = self.build(encrypted).ok()?;
        Some(place.get_or_init(|| client))
    }

    fn build(&self, encrypted: bool) -> reqwest::Result<Client> {
        // Whoever was first has set it, and it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .dns_resolver(self.setup.guard.clone())
            .redirect(Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .https_only(encrypted)
            .http1_only()
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(self.setup.connect)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE);
        let trusted = match &self.setup.trusted {
            // None is needed, so none is read.
            None if !encrypted => Some(&[][..]),
            trusted => trusted.as_deref(),
        };
        let Some(trusted) = trusted else { return client.build() };
        let trusted = trusted.iter().map(|der| Certificate::from_der(der));
        client.tls_certs_only(trusted.collect::<reqwest::Result<Vec<_>>>()?).build()
    }
}

#[cfg(test)]
mod tests {
    use super::{Setup, Wire};

    #[test]
    fn certificates_that_could_not_be_read_are_read_again_for_the_next_call() {
        let broken = Some(vec![b"no certificate".to_vec()]);
        let mut wire = Wire::new(Setup { trusted: broken, ..Setup::default() });
        assert!(wire.client(true).is_none());
        assert!(wire.client(true).is_none());
        // As where somebody installs them meanwhile.
        wire.setup.trusted = Some(Vec::new());
        assert!(wire.client(true).is_some());
    }
}
