//! `buildmoon lua-types DIR`: what lets an editor complete and check master.lua. Rewrites its own files only.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::lua::annotations::{FOLDER, SETTINGS, files};

/// What language servers read, in the folder of master.lua.
const SETTINGS_FILE: &str = ".luarc.json";

#[derive(clap::Args)]
pub struct Args {
    /// The folder of master.lua
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let foreign = write(&args.dir)?;
    println!("{} is written", args.dir.join(FOLDER).display());
    if foreign {
        let file = args.dir.join(SETTINGS_FILE);
        eprintln!("{} is yours and stays as it is: \"workspace.library\" in it has to name \"./{FOLDER}\"", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// True if there are settings of the user's own that do not name the annotations.
pub(super) fn write(dir: &Path) -> Result<bool> {
    let folder = dir.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in files() {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let settings = dir.join(SETTINGS_FILE);
    match std::fs::read_to_string(&settings) {
        Ok(there) => Ok(!there.contains(FOLDER)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(&settings, SETTINGS).with_context(|| format!("cannot write {}", settings.display())).map(|()| false)
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", settings.display())),
    }
}
