//! Small UDP datagrams at a steady rate, and their count at the far end.
//!
//!     bench-generator send ADDRESS PORT --rate N --seconds S [--octets 36] [--flows 8]
//!         [--last A] [--step 1]
//!     bench-generator receive ADDRESS PORT
//!
//! The receiver says `ready`, counts until its standard input is closed, and prints
//! `{"received": N, "seconds": S}`: the time from the first datagram to the last. The sender prints
//! `{"sent": N, "refused": N, "seconds": S}`. Datagrams leave one by one in the kernel's eyes
//! (`sendmmsg`, no segment offload), for what is measured is the cost of each. With `--last`
//! the IPv4 addresses from ADDRESS to that one, so many apart, take turns.

mod batch;

use std::env;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use batch::{Receiver, Sender};

/// At most so many datagrams go out in one call: a burst as a busy host makes them.
const BURST: usize = 32;
/// How often the sender looks what is due.
const TICK: Duration = Duration::from_micros(100);

struct Load {
    first: IpAddr,
    last: IpAddr,
    step: usize,
    port: u16,
    rate: u64,
    seconds: f64,
    octets: usize,
    flows: usize,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some("send") => load(&words[1..]).and_then(|load| send(&load)),
        Some("receive") => target(&words[1..]).and_then(receive),
        _ => Err("the first word is send or receive".into()),
    };
    match done {
        Ok(account) => {
            println!("{account}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("bench-generator: {why}");
            ExitCode::from(2)
        }
    }
}

fn target(words: &[String]) -> Result<SocketAddr, String> {
    let [address, port, ..] = words else {
        return Err("ADDRESS PORT expected".into());
    };
    Ok(SocketAddr::new(parsed(address)?, parsed(port)?))
}

fn parsed<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("cannot read {word:?}"))
}

fn load(words: &[String]) -> Result<Load, String> {
    let to = target(words)?;
    let mut load = Load {
        first: to.ip(),
        last: to.ip(),
        step: 1,
        port: to.port(),
        rate: 0,
        seconds: 1.0,
        octets: 36,
        flows: 8,
    };
    for pair in words[2..].chunks(2) {
        let [name, value] = pair else {
            return Err(format!("{} has no value", pair[0]));
        };
        match name.as_str() {
            "--rate" => load.rate = parsed(value)?,
            "--seconds" => load.seconds = parsed(value)?,
            "--octets" => load.octets = parsed(value)?,
            "--flows" => load.flows = parsed(value)?,
            "--step" => load.step = parsed(value)?,
            "--last" => load.last = parsed(value)?,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    let whole =
        load.rate > 0 && (1..=1000).contains(&load.flows) && load.step > 0 && load.octets <= 1400;
    if !whole || !(0.0..=600.0).contains(&load.seconds) {
        return Err("rate, flows, octets or seconds out of bounds".into());
    }
    Ok(load)
}

/// Every address of the range, once for each turn.
fn addresses(load: &Load) -> Vec<SocketAddr> {
    match (load.first, load.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (u32::from(first)..=u32::from(last))
            .step_by(load.step)
            .map(|number| SocketAddr::new(Ipv4Addr::from(number).into(), load.port))
            .collect(),
        (first, _) => vec![SocketAddr::new(first, load.port)],
    }
}

fn send(load: &Load) -> Result<String, String> {
    let targets = addresses(load);
    let mut sender = Sender::new(&targets, load.flows, load.octets, BURST).map_err(text)?;
    let (started, span) = (Instant::now(), Duration::from_secs_f64(load.seconds));
    let (mut sent, mut refused) = (0_u64, 0_u64);
    loop {
        let passed = started.elapsed().min(span);
        let due = (passed.as_secs_f64() * load.rate as f64) as u64;
        while sent + refused < due {
            let burst = usize::try_from(due - sent - refused)
                .unwrap_or(BURST)
                .min(BURST);
            let gone = sender.burst(burst).map_err(text)?;
            sent += gone as u64;
            refused += (burst - gone) as u64;
            if started.elapsed() >= span {
                break;
            }
        }
        let now = started.elapsed();
        if now >= span {
            break;
        }
        std::thread::sleep(TICK.min(span - now));
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!(
        "{{\"sent\": {sent}, \"refused\": {refused}, \"seconds\": {seconds:.6}}}"
    ))
}

fn receive(at: SocketAddr) -> Result<String, String> {
    let mut receiver = Receiver::new(at).map_err(text)?;
    println!("ready");
    let (mut received, mut first, mut last) = (0_u64, None, None);
    while let Some(count) = receiver.batch().map_err(text)? {
        if count > 0 {
            let now = Instant::now();
            first.get_or_insert(now);
            last = Some(now);
            received += count as u64;
        }
    }
    let seconds = match (first, last) {
        (Some(first), Some(last)) => (last - first).as_secs_f64(),
        _ => 0.0,
    };
    Ok(format!(
        "{{\"received\": {received}, \"seconds\": {seconds:.6}}}"
    ))
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
