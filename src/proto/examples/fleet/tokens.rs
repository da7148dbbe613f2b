//! The token of a host: the real life cycle, and what the mode gives to it.
//!
//! Owns the clocks of the host and the tokens that were issued to it. Must not know the services that let
//! requests in. Invariant: a token has the times of its mode, in whole seconds as a JWT has.

use std::time::Duration;

use ocipipe_proto::token_lifecycle::{
    CandidateKey, Clocks, CredentialOrigin, RefreshPolicy, Renewal, TokenInfo, TokenLifecycle,
};
use ocipipe_proto::upload::ApiCall;

/// The local clock at the start of the virtual time, since 1970.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// How a host signs in. The lifetimes are those that the services are known to give, or common ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An API key: no token.
    ApiKey,
    /// A session of a login, whose token the auth service exchanges while it is valid.
    Session,
    /// An instance, whose certificate is exchanged for a token; also on behalf of a user.
    Instance,
    /// A resource whose platform writes a new token to a file.
    ResourceFile,
    /// A resource that has its token issued.
    Resource,
    /// A workload of a Kubernetes cluster.
    Workload,
    /// The JWT of an outside identity, exchanged for a token.
    Exchange,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 7] = [
        Mode::ApiKey,
        Mode::Session,
        Mode::Instance,
        Mode::ResourceFile,
        Mode::Resource,
        Mode::Workload,
        Mode::Exchange,
    ];

    /// The lifetime of a token; `None` where there is none.
    pub fn lifetime(self) -> Option<Duration> {
        let minutes = match self {
            Mode::ApiKey => return None,
            Mode::Session | Mode::Exchange => 60,
            Mode::Instance | Mode::Resource => 20,
            Mode::ResourceFile => 90,
            Mode::Workload => 180,
        };
        Some(Duration::from_secs(60 * minutes))
    }

    /// What replaces its token.
    pub fn renewal(self) -> Renewal {
        match self {
            Mode::ApiKey | Mode::ResourceFile => Renewal::FilesOnly,
            Mode::Session => Renewal::Refresh,
            Mode::Instance | Mode::Resource | Mode::Workload | Mode::Exchange => Renewal::Issue,
        }
    }

    /// How often another process writes a new token.
    pub fn rotation(self) -> Option<Duration> {
        (self == Mode::ResourceFile).then(|| Duration::from_secs(30 * 60))
    }
}

/// A call that waits for a token, and until when unless a token or the end of a refresh comes.
pub struct WaitingCall {
    pub call: ApiCall,
    pub until: Duration,
}

/// The token of one host.
pub struct Tokens {
    pub mode: Mode,
    pub life: TokenLifecycle,
    generation: u64,
    pub waiting: Vec<WaitingCall>,
    /// When the calls that wait are asked about again.
    pub asks_at: Option<Duration>,
    /// When the background task wakes up.
    pub wakes_at: Option<Duration>,
}

/// The clocks at a virtual time.
pub fn clocks(now: Duration) -> Clocks {
    Clocks { wall: EPOCH + now, monotonic: now }
}

impl Tokens {
    /// The first token, issued at `issued`.
    pub fn new(mode: Mode, now: Duration, policy: &RefreshPolicy, issued: Duration) -> Tokens {
        let policy = RefreshPolicy { renewal: mode.renewal(), ..*policy };
        let token = token(mode, 1, issued);
        let mut life = TokenLifecycle::new(clocks(now), policy, token);
        life.set_streaming();
        Tokens { mode, life, generation: 1, waiting: Vec::new(), asks_at: None, wakes_at: None }
    }

    /// Whether the service accepts the current token.
    pub fn is_valid(&self, now: Duration) -> bool {
        self.life.token().expires.is_none_or(|expires| clocks(now).wall < expires)
    }

    /// Adopts a token that is issued now, if it is better. Returns whether it expires later.
    pub fn adopt(&mut self, now: Duration, origin: CredentialOrigin) -> bool {
        let token = token(self.mode, self.generation + 1, now);
        let clocks = clocks(now);
        if !self.life.is_better_than_current(clocks, &token, CandidateKey::Current) {
            return false;
        }
        let extended = token.expires > self.life.token().expires;
        self.generation += 1;
        self.life.adopt(clocks, token, origin);
        extended
    }
}

fn token(mode: Mode, generation: u64, issued: Duration) -> TokenInfo {
    let issued = Duration::from_secs((EPOCH + issued).as_secs());
    let expires = mode.lifetime().map(|lifetime| issued + lifetime);
    let issued = expires.map(|_| issued);
    TokenInfo { generation, expires, issued, session_end: None }
}
