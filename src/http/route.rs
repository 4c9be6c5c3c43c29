//! Routes: a path, what answers there, and what is told of it.
//!
//! What a handler takes and what it answers is read off its own signature, so that no document can
//! say otherwise than the program does.

use axum::{
    Json, Router,
    handler::Handler,
    routing::{self, MethodRouter},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

use super::{
    App,
    problem::{Asked, Failure, Named, Sent},
    proof::Shown,
};

/// One method of one path.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    /// What clients made from the document call it.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) tell: fn(&mut Schemas) -> Told,
    handler: MethodRouter<App>,
}

impl Route {
    /// The same router with this route.
    pub(super) fn add_to(self, router: Router<App>) -> Router<App> {
        router.route(self.path, self.handler)
    }
}

macro_rules! methods {
    ($($method:ident),+) => {$(
        pub(super) fn $method<H, T>(
            path: &'static str,
            handler: H,
            id: &'static str,
            summary: &'static str,
        ) -> Route
        where
            H: Handler<T, App> + Described<T>,
            T: 'static,
        {
            let handler = routing::$method(handler);
            Route { path, method: stringify!($method), id, summary, tell: H::tell, handler }
        }
    )+};
}

methods!(delete, get, patch, post, put);

/// The schemas of everything that is sent, and of everything that is answered: what may be left
/// out of one need not be left out of the other.
pub(super) struct Schemas {
    pub(super) sent: SchemaGenerator,
    pub(super) answered: SchemaGenerator,
}

impl Schemas {
    /// No schema yet; those that come refer to each other below this.
    pub(super) fn new(below: &'static str) -> Self {
        let settings = || {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = below.into();
            settings
        };
        let sent = settings().into_generator();
        Self { sent, answered: settings().for_serialize().into_generator() }
    }
}

/// What is told of a route.
pub(super) struct Told {
    /// What its path names.
    pub(super) named: Option<Schema>,
    /// An object of what its query may ask.
    pub(super) query: Option<Schema>,
    pub(super) body: Option<Schema>,
    /// Whether it takes an operator's proof, where there is a passphrase.
    pub(super) proven: bool,
    pub(super) answer: Schema,
}

/// A handler whose signature tells what it takes and answers.
pub(super) trait Described<T> {
    fn tell(schemas: &mut Schemas) -> Told;
}

/// What a handler takes.
pub(super) trait Taken {
    fn tell(schemas: &mut Schemas, told: &mut Told);
}

impl Taken for App {
    fn tell(_: &mut Schemas, _: &mut Told) {}
}

impl Taken for Shown {
    fn tell(_: &mut Schemas, told: &mut Told) {
        told.proven = true;
    }
}

impl<T: JsonSchema> Taken for Named<T> {
    fn tell(schemas: &mut Schemas, told: &mut Told) {
        told.named = Some(schemas.sent.subschema_for::<T>());
    }
}

impl<T: JsonSchema> Taken for Asked<T> {
    fn tell(schemas: &mut Schemas, told: &mut Told) {
        told.query = Some(T::json_schema(&mut schemas.sent));
    }
}

impl<T: JsonSchema, const MOST: usize> Taken for Sent<T, MOST> {
    fn tell(schemas: &mut Schemas, told: &mut Told) {
        told.body = Some(schemas.sent.subschema_for::<T>());
    }
}

/// What a handler answers.
pub(super) trait Answered {
    fn tell(schemas: &mut Schemas) -> Schema;
}

impl<T: JsonSchema> Answered for Json<T> {
    fn tell(schemas: &mut Schemas) -> Schema {
        schemas.answered.subschema_for::<T>()
    }
}

impl<T: Answered> Answered for Result<T, Failure> {
    fn tell(schemas: &mut Schemas) -> Schema {
        T::tell(schemas)
    }
}

macro_rules! described {
    ($($part:ident),*) => {
        impl<F, Answer, M, $($part),*> Described<(M, $($part,)*)> for F
        where
            F: Fn($($part),*) -> Answer,
            Answer: Future<Output: Answered>,
            $($part: Taken,)*
        {
            fn tell(schemas: &mut Schemas) -> Told {
                let answer = <Answer::Output as Answered>::tell(schemas);
                let mut told =
                    Told { named: None, query: None, body: None, proven: false, answer };
                $($part::tell(schemas, &mut told);)*
                told
            }
        }
    };
}

described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);
