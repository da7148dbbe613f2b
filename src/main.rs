//! Stands in for the command line: `ocipipe serve --dir DIR [--port N] [--token-ttl SECONDS]` only.

fn main() {
    let mut dir = std::path::PathBuf::from("store");
    let (mut port, mut ttl) = (0, None);
    let args: Vec<String> = std::env::args().skip(2).collect();
    for pair in args.chunks(2) {
        let value = pair.get(1).cloned().unwrap_or_default();
        match pair[0].as_str() {
            "--dir" => dir = value.into(),
            "--port" => port = value.parse().unwrap_or(0),
            _ => {
                let seconds = value.trim_end_matches('s').parse().unwrap_or(3600);
                ttl = Some(std::time::Duration::from_secs(seconds));
            }
        }
    }
    let runtime = tokio::runtime::Runtime::new();
    let served = runtime.map(|runtime| runtime.block_on(ocipipe::serve::serve(dir, port, ttl)));
    if let Ok(Err(error)) = served {
        eprintln!("{error}");
        std::process::exit(i32::from(error.kind.exit_code()));
    }
}
