//! `pettycash service import`: a policy's file out of what an API's own document says.
//!
//! It is advice and no more. Nothing is fetched and nothing applied; what the document says is
//! data, of which only what is read as a name, a path or a price comes through.

mod found;
mod openapi;
mod words;
mod x402;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde_json::Value;

use super::{
    output::{Failure, Output, say},
    policy::Written,
};
use crate::policy::{
    endpoint::{EndpointError, Origin},
    names::ServiceId,
};

/// The longest document that is read.
const MAX_DOCUMENT: u64 = 8 * 1024 * 1024;

/// `pettycash service import FILE`
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The document, in JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What to call the service, instead of what the document does
    #[arg(long, value_name = "NAME")]
    id: Option<ServiceId>,
    /// Where the API is, where the document does not say it in full
    #[arg(long, value_name = "URL")]
    base_url: Option<Origin>,
}

pub(super) fn run(import: &Import, output: Output) -> anyhow::Result<ExitCode> {
    let document = read(&import.file)?;
    let found = if document.get("openapi").is_some() {
        openapi::read(&document, import.base_url.as_ref())
    } else if document.get("items").is_some() {
        x402::read(&document)
    } else {
        Err("it is neither an OpenAPI 3 document nor an x402.json with `items`".to_owned())
    };
    let found = found.and_then(|found| found.named(import.id.as_ref()));
    let found = found.map_err(|wrong| refused(&import.file, &wrong))?;
    let text = found.policy();
    // What cannot be applied as it is helps nobody, but for a price that only an operator knows.
    let written = Written::parse("the policy that was made", text.clone().into_bytes())?;
    for (id, terms) in &written.terms.services {
        let checked = terms.endpoint.check(&terms.service(id));
        match checked {
            Ok(()) | Err(EndpointError::Unpriced(_)) => {}
            Err(wrong) => return Err(refused(&import.file, &wrong.to_string()).into()),
        }
    }
    if output.json {
        say(&serde_json::to_string(&written.terms)?)?;
    } else {
        say(text.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let doing = || format!("could not read `{}`", file.display());
    let mut bytes = Vec::new();
    let most = MAX_DOCUMENT.saturating_add(1);
    if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes).with_context(doing)?;
    } else {
        let opened = File::open(file).with_context(doing)?;
        opened.take(most).read_to_end(&mut bytes).with_context(doing)?;
    }
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_DOCUMENT {
        return Err(refused(file, "it is longer than 8 MiB").into());
    }
    let read = serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object);
    Ok(read.ok_or_else(|| refused(file, "it is no JSON of an object"))?)
}

fn refused(file: &Path, wrong: &str) -> Failure {
    Failure::Usage {
        message: format!("`{}` is not taken: {wrong}", file.display()),
        hint: "it takes an OpenAPI 3 document or an x402.json, in JSON; YAML is converted first, \
               with `yq -o json` for instance"
            .to_owned(),
    }
}
