//! The program `buildmoon`: command line in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    buildmoon::cli::main()
}
