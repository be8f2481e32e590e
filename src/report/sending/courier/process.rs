//! The courier itself: brings what it is told, one message after the other, and writes down what became of each before it says
//! so. Without a master it ends the message that it is at, and goes.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::record::{self, Record};
use super::wire::{Brought, Says, Target, Told};
use crate::report::sending::outbox::Outcome;
use crate::report::sending::post::Poster;
use crate::report::sending::smtp::{Silent, Smtp};

/// Serves one master through these pipes. Waits until the courier before it has ended.
pub async fn serve(folder: &Path, reporter: &str, input: impl AsyncRead + Unpin, mut output: impl AsyncWrite + Unpin) -> io::Result<()> {
    record::make_folder(folder)?;
    let mut record = Record::open(folder, reporter)?;
    say(&mut output, &Says::Ready { known: record.brought().to_vec() }).await?;
    let mut input = BufReader::new(input);
    let mut ways = Ways::default();
    let mut line = String::new();
    while input.read_line(&mut line).await? > 0 {
        match serde_json::from_str(&line)? {
            Told::Stored(keys) => record.remove(&keys)?,
            Told::Bring { key, id, target, progress, length } => {
                let mut content = vec![0; length];
                input.read_exact(&mut content).await?;
                let mut notes = Vec::new();
                let outcome = ways.bring(&id, target, content, progress, &mut notes).await;
                let mut brought = Brought { key, outcome, notes };
                if let Err(e) = record.add(brought.clone()) {
                    brought.notes.push(format!("what became of a message can't be written down for the case of a crash: {e}"));
                }
                // If nobody is there any more, it has been written down for whoever comes next.
                let _ = say(&mut output, &Says::Brought(brought)).await;
            }
        }
        line.clear();
    }
    ways.close().await;
    Ok(())
}

async fn say(output: &mut (impl AsyncWrite + Unpin), says: &Says) -> io::Result<()> {
    let mut line = serde_json::to_vec(says)?;
    line.push(b'\n');
    output.write_all(&line).await?;
    output.flush().await
}

/// What is kept open between two messages.
#[derive(Default)]
struct Ways {
    relay: Option<Smtp>,
    poster: Poster,
}

impl Ways {
    async fn bring(&mut self, id: &str, to: Target, content: Vec<u8>, progress: Option<String>, notes: &mut Vec<String>) -> Outcome {
        match to {
            Target::Endpoint(endpoint) => self.poster.post(&endpoint, id, content, notes).await,
            Target::Relay { settings, envelope } => {
                if self.relay.as_ref().is_some_and(|relay| *relay.settings() != settings) {
                    self.close().await;
                }
                let relay = self.relay.get_or_insert_with(|| Smtp::new(settings));
                relay.send(&envelope, &content, progress.as_deref(), &mut Silent).await
            }
        }
    }

    async fn close(&mut self) {
        if let Some(mut relay) = self.relay.take() {
            relay.close(&mut Silent).await;
        }
    }
}
