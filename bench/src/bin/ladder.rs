//! The pipeline up to one of its rungs, made of ocipipe's own modules.
//!
//!     ladder --rung read|pool|checksum|sign|http|tls [--checksum sha256] [--part-size 128M]
//!            [--parallel 4] [--config FILE --key FILE --port N --ca FILE --object NAME] < STREAM
//!
//! Each rung does everything that those below it do. Its cost is the difference to the one below.

use std::collections::VecDeque;
use std::error::Error;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ocipipe::internals::auth::environment::Environment;
use ocipipe::internals::auth::options::{
    AuthMode, CertBundle, NetworkOptions, ServiceOptions, Setting,
};
use ocipipe::internals::cli::OutputOptions;
use ocipipe::internals::source::pool::Pool;
use ocipipe::internals::source::{ByteSource, FilledPart, ReadEvent, Reader};
use ocipipe::internals::term::progress::Reporter;
use ocipipe::internals::transfer::client::{Client, SendProgress, Timeouts};
use ocipipe_bench::options::Options;
use proto::api::{ObjectLocation, ObjectMeta, PutOptions, Request, parse_created, request};
use proto::digest::Algorithm;
use proto::key::Key;
use proto::part_number::PartNumber;
use proto::part_plan::PartPlan;
use proto::sign::{self, KeyId, SignedRequest};
use tokio::task::JoinSet;

type Failed = Box<dyn Error + Send + Sync>;

const READ: usize = 256 << 10;

struct Ladder {
    part_size: usize,
    parallel: usize,
    algorithm: Algorithm,
    location: ObjectLocation,
    options: PutOptions,
}

fn main() -> Result<(), Failed> {
    let known =
        ["rung", "checksum", "part-size", "parallel", "config", "key", "port", "ca", "object"];
    let options = Options::parse(&known, &[])?;
    let algorithm = match options.text("checksum").unwrap_or("sha256") {
        "sha256" => Algorithm::Sha256,
        "sha384" => Algorithm::Sha384,
        "crc32c" => Algorithm::Crc32c,
        "md5" => Algorithm::Md5,
        "none" => Algorithm::None,
        other => return Err(format!("no such checksum: {other}").into()),
    };
    let ladder = Ladder {
        part_size: options.size("part-size")?.unwrap_or(128 << 20) as usize,
        parallel: options.number("parallel", 4)?,
        algorithm,
        location: ObjectLocation {
            namespace: "benchns".to_owned(),
            bucket: "bench".to_owned(),
            object: options.text("object").unwrap_or("ladder").to_owned(),
        },
        options: put_options(algorithm),
    };
    match options.required("rung")? {
        "read" => ladder.read(),
        "pool" => ladder.pool(),
        "checksum" => ladder.parts(|_| Ok(())),
        "sign" => {
            let pem = std::fs::read(options.required("key")?)?;
            let key = Key::from_pem(&pem, None).map_err(|_| "the key cannot be read")?;
            let key_id = KeyId::api_key("tenancy", "user", key.fingerprint());
            ladder.parts(|part| ladder.sign(part, &key_id, &key))
        }
        rung @ ("http" | "tls") => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            let client = Arc::new(runtime.block_on(client(&options, rung == "tls"))?);
            runtime.block_on(ladder.send(client))
        }
        other => Err(format!("no such rung: {other}").into()),
    }
}

fn shown(error: proto::error::Error) -> Failed {
    error.to_string().into()
}

fn put_options(checksum: Algorithm) -> PutOptions {
    PutOptions { checksum, ..PutOptions::default() }
}

async fn client(options: &Options, tls: bool) -> Result<Client, Failed> {
    let scheme = if tls { "https" } else { "http" };
    let service = ServiceOptions {
        auth: Some(AuthMode::ApiKey),
        config_file: Some(PathBuf::from(options.required("config")?)),
        endpoint: Some(Setting::new(
            format!("{scheme}://127.0.0.1:{}", options.required("port")?),
            "--port",
        )),
        network: NetworkOptions {
            cert_bundle: Some(CertBundle {
                paths: vec![PathBuf::from(options.required("ca")?)],
                origin: "--ca".to_owned(),
            }),
            ..NetworkOptions::default()
        },
        no_refresh: true,
        ..ServiceOptions::default()
    };
    let reporter =
        Arc::new(Reporter::new(OutputOptions { quiet: true, ..OutputOptions::default() }));
    let environment = Environment::capture();
    let minute = Duration::from_secs(60);
    let timeouts = Timeouts { retry_for: minute, stall_timeout: minute };
    Client::open_session(&service, &environment, timeouts, &reporter).await.map_err(shown)
}

impl Ladder {
    /// Reading into one buffer.
    fn read(&self) -> Result<(), Failed> {
        let mut buffer = Pool::new(self.part_size, 1).take()?.ok_or("no buffer")?;
        let mut stdin = enlarged()?;
        let mut at = 0;
        loop {
            let end = self.part_size.min(at + READ);
            let read = stdin.read(&mut buffer.space()[at..end])?;
            if read == 0 {
                return Ok(());
            }
            at = if at + read == self.part_size { 0 } else { at + read };
        }
    }

    /// Reading into as many buffers as an upload has, in turn.
    fn pool(&self) -> Result<(), Failed> {
        let pool = Pool::new(self.part_size, self.parallel + 1);
        let mut stdin = enlarged()?;
        let mut in_flight = VecDeque::new();
        loop {
            let mut buffer = pool.take()?.ok_or("no buffer")?;
            let mut used = 0;
            while used < self.part_size {
                let end = self.part_size.min(used + READ);
                match stdin.read(&mut buffer.space()[used..end])? {
                    0 => return Ok(()),
                    read => used += read,
                }
            }
            in_flight.push_back(buffer.freeze(used));
            if in_flight.len() > self.parallel {
                in_flight.pop_front();
            }
        }
    }

    fn reader(&self) -> Result<Reader, Failed> {
        let plan = PartPlan::uniform(self.part_size, self.parallel as u16);
        let pool = Pool::new(plan.buffer_size, plan.buffers_for(1));
        let source = ByteSource::stdin().map_err(shown)?;
        Reader::start(source, pool, plan, self.algorithm, None).map_err(shown)
    }

    /// The reading thread; calls `on_part` for each part and then releases it.
    fn parts(&self, on_part: impl Fn(&FilledPart) -> Result<(), Failed>) -> Result<(), Failed> {
        let mut reader = self.reader()?;
        let mut in_flight = VecDeque::new();
        while let Some(event) = reader.events.blocking_recv() {
            match event {
                ReadEvent::Part(part) => {
                    on_part(&part)?;
                    in_flight.push_back(part);
                    if in_flight.len() >= self.parallel {
                        in_flight.pop_front();
                    }
                }
                ReadEvent::EndOfStream { .. } => return Ok(()),
                ReadEvent::SourceFailed(error) => return Err(shown(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn part_request(&self, id: &str, part: &FilledPart) -> Request {
        let digest = &part.digest;
        request::upload_part(
            &self.location,
            &self.options,
            id,
            part.number,
            digest.size,
            &digest.value,
        )
    }

    fn sign(&self, part: &FilledPart, key_id: &KeyId, key: &Key) -> Result<(), Failed> {
        let request = self.part_request("id", part);
        let date = httpdate(SystemTime::now());
        let request = SignedRequest {
            method: request.method,
            path_and_query: &request.target,
            host: Some("127.0.0.1"),
            date: &date,
            delegation: None,
            body: None,
        };
        let signed = sign::authorize(key_id, key, &request);
        if signed.headers.is_empty() { Err("nothing was signed".into()) } else { Ok(()) }
    }

    /// The complete upload, without the upload machine.
    async fn send(&self, client: Arc<Client>) -> Result<(), Failed> {
        let create = request::create_upload(&self.location, &self.options);
        let done = client
            .attempt(create, Vec::new(), &SendProgress::default())
            .await
            .map_err(|e| format!("{e:?}"))?;
        let id = parse_created(&done.response).map_err(|e| e.0)?;
        let mut reader = self.reader()?;
        let mut tasks = JoinSet::new();
        let mut etags = Vec::new();
        while let Some(event) = reader.events.recv().await {
            match event {
                ReadEvent::Part(part) => {
                    if tasks.len() == self.parallel
                        && let Some(done) = tasks.join_next().await
                    {
                        etags.push(done??);
                    }
                    let request = self.part_request(&id, &part);
                    tasks.spawn(attempt(client.clone(), request, part.number, part.chunks));
                }
                ReadEvent::EndOfStream { .. } => break,
                ReadEvent::SourceFailed(error) => return Err(shown(error)),
                _ => {}
            }
        }
        while let Some(done) = tasks.join_next().await {
            etags.push(done??);
        }
        etags.sort();
        let parts = etags.iter().map(|(number, etag)| (*number, etag.as_str()));
        let commit = request::commit(&self.location, &self.options.condition, &id, parts, &[]);
        client
            .attempt(commit, Vec::new(), &SendProgress::default())
            .await
            .map_err(|e| format!("{e:?}"))?;
        Ok(())
    }
}

async fn attempt(
    client: Arc<Client>,
    request: Request,
    number: PartNumber,
    chunks: Vec<Bytes>,
) -> Result<(PartNumber, String), Failed> {
    let done = client
        .attempt(request, chunks, &SendProgress::default())
        .await
        .map_err(|e| format!("{e:?}"))?;
    Ok((number, ObjectMeta::of(&done.response).etag.ok_or("no etag")?))
}

fn enlarged() -> std::io::Result<std::fs::File> {
    let stdin = rustix::stdio::stdin();
    // An error if stdin is no pipe.
    let _ = rustix::pipe::fcntl_setpipe_size(stdin, 1 << 20);
    Ok(stdin.try_clone_to_owned()?.into())
}

/// Any date works: the signature is the cost to measure.
fn httpdate(now: SystemTime) -> String {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    format!(
        "Thu, 01 Jan 2026 {:02}:{:02}:{:02} GMT",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}
