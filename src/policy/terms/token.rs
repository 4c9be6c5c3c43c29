//! Tokens as operators ask for them and read of them.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::policy::{
    names::{Handle, Label, RunId, TokenId},
    token::{Power, Token},
};

/// A secret on its way to whoever it is for: it is written into an answer, and nowhere else.
#[derive(Clone)]
pub struct Secret(pub SecretString);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Whatever else it is, it is not repeated: it may be the secret all the same.
        let text = String::deserialize(from).map_err(|_| D::Error::custom("a secret is a text"))?;
        Ok(Self(text.into()))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "Keep it to yourself: it is not logged."})
    }
}

/// The body that asks for a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The run that whatever it lets in belongs to; an operator's has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What it is called, to know it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// From when on it lets nobody in; without one, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it lets its agent do beyond the rest; an operator's needs nothing of it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub may: BTreeSet<Power>,
}

/// The body that asks for a token in place of another, for the same run and under the same label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How many seconds the old one still lets somebody in; without them, it is over at once.
    #[serde(default)]
    pub overlap_s: u32,
    /// From when on the new one lets nobody in; without one, it lives as long as the old one was
    /// to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A token that was just given out. This is the only time that it is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenGiven {
    /// The token.
    pub token: Secret,
    /// What is known of it.
    #[serde(flatten)]
    pub view: TokenView,
    /// The one it takes the place of, and when that one ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaced>,
    /// What an operator should know of it, such as that who shows it chooses under which caps on
    /// types of tasks the agent pays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// A token that another one took the place of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// Its public name.
    pub token_id: TokenId,
    /// From when on it lets nobody in.
    pub ends_at: Timestamp,
}

/// A token as operators read of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// Its public name, which lets nobody in.
    pub token_id: TokenId,
    /// Whom it lets in: an agent, or, where it names none, an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Handle>,
    /// The run that whatever it lets in belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// When it was given out.
    pub created_at: Timestamp,
    /// From when on it lets nobody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether that time has come.
    pub expired: bool,
    /// When it last let somebody in, to the second; since `serve` started, or to the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// What it lets its agent do beyond the rest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub may: BTreeSet<Power>,
}

impl TokenView {
    /// What `token` is at `now`; `seen` is when it last let somebody in, as far as that is known
    /// beyond the record.
    pub fn of(token: &Token, seen: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            token_id: token.id.clone(),
            agent: token.agent.clone(),
            run: token.run.clone(),
            label: token.label.clone(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            expired: !token.lives(now),
            last_used_at: token.used_at.max(seen),
            may: token.may.clone(),
        }
    }
}

/// The body that gives the operators a passphrase.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassphrase {
    /// The passphrase.
    pub passphrase: Secret,
}

/// What the operators' door is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorDoor {
    /// Whether there is a passphrase: then whatever gives an agent more takes a proof.
    pub initialised: bool,
}

/// What came of giving the operators a passphrase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PassphraseGiven {
    /// Whether there is a passphrase: there is.
    pub initialised: bool,
    /// The operators' tokens that prove nothing any more, oldest first: until there was a first
    /// passphrase, anybody could have one made.
    pub ended: Vec<TokenView>,
    /// Those that go on, oldest first: of a first passphrase, the one that was shown with it.
    pub kept: Vec<TokenView>,
    /// The agents with tokens that were made before a first passphrase and go on: what they pay is
    /// bounded by the mandate.
    pub agents: Vec<AgentTokens>,
}

/// How many tokens let an agent in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentTokens {
    /// The agent.
    pub agent: Handle,
    /// How many.
    pub tokens: u32,
}

/// The tokens of an agent, or the operators', oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<TokenView>,
}
