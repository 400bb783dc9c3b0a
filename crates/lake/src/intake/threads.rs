//! One thread reads, some parse, one hashes; batches come out in the order of the file.
//!
//! Every queue is short, so that memory does not grow with the file and a reader of batches that stops stops them all.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::block::{Block, Blocks, Parser};
use crate::row::Batch;

/// A block and where its batch is awaited.
type Job = (Block, SyncSender<Batch>);

/// Threads at work on one file.
pub(super) struct Threads {
    batches: Receiver<io::Result<Receiver<Batch>>>,
    hash: JoinHandle<Sha256>,
}

impl Threads {
    /// Starts reading `source` behind the blocks already read, which `sha256` has seen.
    pub(super) fn start<R: io::Read + Send + 'static>(
        first: Block,
        second: Option<Block>,
        mut source: Blocks<R>,
        mut sha256: Sha256,
        parsers: Vec<Parser>,
    ) -> Self {
        let depth = parsers.len() + 1;
        let (batch_queue, batches) = sync_channel(depth);
        let (job_queue, jobs) = sync_channel::<Job>(depth);
        let (hash_queue, to_hash) = sync_channel::<Arc<Vec<u8>>>(depth);
        let jobs = Arc::new(Mutex::new(jobs));
        for mut parser in parsers {
            let jobs = Arc::clone(&jobs);
            std::thread::spawn(move || {
                loop {
                    // The lock is held while waiting: one thread waits for work, the others for their turn.
                    let Ok(job) = jobs.lock().map(|jobs| jobs.recv()) else { return };
                    let Ok((block, answer)) = job else { return };
                    // Nobody listens any more when the import was given up.
                    let _ = answer.send(parser.parse(&block));
                }
            });
        }
        let hash = std::thread::spawn(move || {
            while let Ok(bytes) = to_hash.recv() {
                sha256.update(&bytes[..]);
            }
            sha256
        });
        std::thread::spawn(move || {
            let hand_out = |block: Block| -> bool {
                let (answer, batch) = sync_channel(1);
                batch_queue.send(Ok(batch)).is_ok() && job_queue.send((block, answer)).is_ok()
            };
            for block in [Some(first), second].into_iter().flatten() {
                if !hand_out(block) {
                    return;
                }
            }
            loop {
                let next = source.next(&mut |bytes| {
                    let _ = hash_queue.send(Arc::clone(bytes));
                });
                match next {
                    Ok(Some(block)) => {
                        if !hand_out(block) {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        let _ = batch_queue.send(Err(error));
                        return;
                    }
                }
            }
        });
        Self { batches, hash }
    }

    /// The next batch; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Option<io::Result<Batch>> {
        match self.batches.recv().ok()? {
            Ok(batch) => match batch.recv() {
                Ok(batch) => Some(Ok(batch)),
                Err(_) => Some(Err(io::Error::other("a parsing thread ended early"))),
            },
            Err(error) => Some(Err(error)),
        }
    }

    /// What was hashed, after the last batch.
    pub(super) fn finish(self) -> Option<Sha256> {
        self.hash.join().ok()
    }
}
