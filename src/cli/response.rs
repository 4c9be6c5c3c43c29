//! `pettycash response`: what an API answered to a payment, into a file.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use base64ct::{Base64, Encoding};

use super::{
    output::{Failure, Output, plain, wait},
    owner,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{answer::ApiBody, names::PaymentId},
};

/// Nobody else may read it.
const MODE: u32 = 0o600;

/// `pettycash response PAYMENT --output FILE`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pettycash response pay_0000000000001a2c --output map.png\n\n\
    What was answered waits 15 minutes, and does not outlive a restart of `serve`. It is written\n\
    byte for byte, but for the service's key: of JSON and text at most 256 KiB, of anything else\n\
    4 MiB. Nobody else may read the file.")]
pub(super) struct Args {
    /// The payment it was answered to
    payment: PaymentId,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let Args { payment, output: path, force } = args;
    let target = Target::new(path, force)?;
    let operator = owner::operator(home);
    wait(async {
        let written = target.fetch(&operator, payment).await?;
        output.print(&written, || written.words())?;
        Ok(ExitCode::SUCCESS)
    })
}

/// A file that something is to be written to.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    force: bool,
}

/// What was written.
#[derive(Debug, serde::Serialize)]
pub(super) struct Written {
    payment_id: PaymentId,
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
}

impl Target {
    /// A file, as far as can be seen before there is anything to write.
    pub(super) fn new(path: PathBuf, force: bool) -> Result<Self, Failure> {
        let shown = path.display();
        let refused = |message, hint: &str| Failure::Usage { message, hint: hint.to_owned() };
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            return Err(refused(format!("`{shown}` is a directory"), "name a file in it"));
        }
        if fs::symlink_metadata(&path).is_ok() && !force {
            let hint = "name another file, or replace it with --force";
            return Err(refused(format!("`{shown}` is there already"), hint));
        }
        if !directory(&path).is_dir() {
            let hint = "name a file in a directory that there is";
            return Err(refused(format!("there is no directory for `{shown}`"), hint));
        }
        Ok(Self { path, force })
    }

    /// Writes what was answered to a payment.
    pub(super) async fn fetch(
        &self,
        operator: &Operator,
        payment: PaymentId,
    ) -> anyhow::Result<Written> {
        let body = operator.response(payment).await?;
        let ApiBody { payment_id, content_type, truncated, base64, .. } = body;
        let bytes = Base64::decode_vec(&base64).context("what `serve` answered is no Base64")?;
        self.put(&bytes).map_err(|error| self.unwritten(payment, &error))?;
        let (file, bytes) = (self.path.clone(), bytes.len());
        Ok(Written { payment_id, file, content_type, bytes, truncated })
    }

    /// Writes it whole or not at all, and over nothing that it may not replace.
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        if !self.force {
            return write(&self.path, bytes);
        }
        let turn = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let new = directory(&self.path).join(format!(".pettycash-{turn:016x}"));
        write(&new, bytes)?;
        fs::rename(&new, &self.path).inspect_err(|_| drop(fs::remove_file(&new)))
    }

    fn unwritten(&self, payment: PaymentId, error: &io::Error) -> Failure {
        let shown = self.path.display();
        Failure::File {
            message: format!("could not write `{shown}`: {error}"),
            hint: format!(
                "it waits for 15 minutes: `pettycash response {payment} --output FILE` writes it \
                 to another file, and pays nothing"
            ),
        }
    }
}

impl Written {
    /// A line for people.
    pub(super) fn words(&self) -> String {
        let Self { file, content_type, bytes, truncated, .. } = self;
        let kind = content_type.as_ref().map(|kind| format!(" of {kind}")).unwrap_or_default();
        let first = if truncated.is_some() { "the first " } else { "" };
        plain(&format!("Wrote {first}{bytes} bytes{kind} to {}.", file.display()))
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(MODE).open(path)?;
    let written = file.write_all(bytes);
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
