//! One thread reads, some parse, one hashes and keeps the bytes; batches come out in the order of the file.
//!
//! Every queue is short, so that memory does not grow with the file and a reader of batches that stops stops them all.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::block::{Block, Blocks, Parser};
use super::received::Received;
use crate::row::Batch;

/// A block and where its batch is awaited.
type Job = (Block, SyncSender<Batch>);

/// Threads at work on one file.
pub(super) struct Threads {
    batches: Receiver<io::Result<Receiver<Batch>>>,
    received: JoinHandle<Received>,
}

impl Threads {
    /// Starts reading `source` behind the blocks already read, which `received` has.
    pub(super) fn start<R: io::Read + Send + 'static>(
        first: Block,
        second: Option<Block>,
        mut source: Blocks<R>,
        mut received: Received,
        parsers: Vec<Parser>,
    ) -> Self {
        let depth = parsers.len() + 1;
        let (batch_queue, batches) = sync_channel(depth);
        let (job_queue, jobs) = sync_channel::<Job>(depth);
        let (byte_queue, bytes) = sync_channel::<Arc<Vec<u8>>>(depth);
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
        let received = std::thread::spawn(move || {
            while let (false, Ok(bytes)) = (received.failed(), bytes.recv()) {
                received.take(&bytes);
            }
            received
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
                // Nobody receives any more when the bytes cannot be kept.
                let mut kept = true;
                let next = source.next(&mut |bytes| kept &= byte_queue.send(Arc::clone(bytes)).is_ok());
                match next {
                    Ok(Some(block)) => {
                        if !kept || !hand_out(block) {
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
        Self { batches, received }
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

    /// What was received: the whole file, if its last batch was taken.
    pub(super) fn finish(self) -> Option<Received> {
        let Self { batches, received } = self;
        // Without anyone to take batches, the other threads end.
        drop(batches);
        received.join().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::super::profile;
    use super::super::tests::now;
    use super::*;

    /// A file that goes on for ever.
    struct Endless;

    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let row = b"2013-03-01,A,1,2,1,1,5\n";
            let length = row.len().min(buffer.len());
            buffer[..length].copy_from_slice(&row[..length]);
            Ok(length)
        }
    }

    /// A file on a disk that fails.
    struct Failing;

    impl io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }

    fn start<R: io::Read + Send + 'static>(source: R) -> Threads {
        let profile = profile::named("workshop").unwrap();
        let names = profile.headers().next().unwrap();
        let layout = Arc::new(Layout::new(profile, names));
        let parsers = (0..2).map(|_| Parser::new(Arc::clone(&layout), None, now())).collect();
        let bytes = Arc::new(b"2013-03-01,A,1,2,1,1,5\n".to_vec());
        let first = Block { bytes, start: 0, offset: 0, line: 2, too_long: None };
        Threads::start(first, None, Blocks::new(source, 1_000), Received::new(None), parsers)
    }

    #[test]
    fn giving_up_halfway_stops_every_thread() {
        let mut threads = start(Endless);
        assert_eq!(threads.next().unwrap().unwrap().rows, 1);
        assert!(threads.next().unwrap().unwrap().rows > 1);
        // The receiving thread ends only after the reading one, which an endless file alone would not end.
        assert!(threads.finish().is_some());
    }

    #[test]
    fn an_error_while_reading_comes_after_the_rows_before_it() {
        let mut threads = start(Failing);
        assert_eq!(threads.next().unwrap().unwrap().rows, 1);
        assert_eq!(threads.next().unwrap().unwrap_err().to_string(), "the disk is gone");
        assert!(threads.next().is_none());
    }
}
