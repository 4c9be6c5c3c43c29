//! Makes `src/rails/meter/prices.json` from litellm's table of model prices:
//!
//! ```sh
//! cargo run --example prices -- FILE SOURCE DATE > src/rails/meter/prices.json
//! ```
//!
//! FILE is `litellm/model_prices_and_context_window_backup.json` out of litellm's wheel, SOURCE
//! says which one that was, and DATE (2026-11-22) is the day it was taken.

use std::{env, fs, process::ExitCode};

use pettycash::rails::meter::extract;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, source, date] = arguments.as_slice() else {
        eprintln!("usage: prices FILE SOURCE DATE");
        return ExitCode::FAILURE;
    };
    let extracted = fs::read_to_string(file)
        .map_err(|error| error.to_string())
        .and_then(|text| extract(&text, source, date).map_err(|error| error.to_string()));
    match extracted {
        Ok(extract) => {
            print!("{extract}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{file}: {error}");
            ExitCode::FAILURE
        }
    }
}
