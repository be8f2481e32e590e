//! `buildmoon create-master DIR`

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const SAMPLE: &str = include_str!("../../examples/hello/master.lua");

#[derive(clap::Args)]
pub struct Args {
    /// The base folder to make
    dir: PathBuf,
    /// Write master.lua even if there is one (the old one becomes master.lua.old)
    #[arg(short, long)]
    force: bool,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let file = args.dir.join("master.lua");
    if file.exists() {
        if !args.force {
            bail!("{} is there already; --force replaces it (and keeps it as master.lua.old)", file.display());
        }
        std::fs::rename(&file, args.dir.join("master.lua.old")).with_context(|| format!("cannot rename {}", file.display()))?;
    }
    write_private(&file).with_context(|| format!("cannot write {}", file.display()))?;
    super::lua_types::write(&args.dir)?;
    if !args.quiet {
        println!("{} is ready: edit it, then `buildmoon start {}`", file.display(), args.dir.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Passwords will stand in it: others may not read it.
fn write_private(file: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o640).open(file)?.write_all(SAMPLE.as_bytes())
}
