//! Two machines, one of which loses power.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::disk::{Cut, FileSystem, Mounted, copy_data};
use super::judge::{Case, Counts, events};
use super::scene::{Scene, make_source};
use super::tracer::{Processes, Step};
use super::tree::{self, Node, Tree};

/// Longest wait for a server to be ready.
const DEADLINE: Duration = Duration::from_secs(60);
const ANY_PORT: &str = "127.0.0.1:0";

/// Who receives, and so writes to the disk that is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

/// When the journal of the disk gets what has happened to names, times and modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    /// When the program syncs something.
    Late,
    /// After each call.
    Early,
}

/// What happens to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The power fails where the files go.
    Power(Cut),
    /// The process that writes them is killed.
    Killed,
    /// The process that sends them is killed.
    Lost,
}

impl End {
    /// What this is where that end receives: a client goes on by itself when its server is killed and started again.
    pub(crate) fn of(self, receives: Role) -> Self {
        match (self, receives) {
            (Self::Lost, Role::Server) => Self::Killed,
            (end, _) => end,
        }
    }
}

pub(crate) struct Room {
    processes: Processes,
    dir: TempDir,
    kind: FileSystem,
    source: Tree,
    /// Of the server that receives and of the one that sends.
    fingerprints: [String; 2],
    /// The one that sends, to clients.
    sending: (Pid, String),
    templates: HashMap<&'static str, PathBuf>,
    /// Rules that are not kept, by name.
    broken: Option<&'static str>,
}

/// A run that is under way.
struct Run {
    scene: Scene,
    role: Role,
    /// Nothing while the power is off.
    disk: Option<Mounted>,
    before: Tree,
    receiving: Option<(Pid, String)>,
    client: Pid,
}

impl Run {
    fn disk(&self) -> &Mounted {
        self.disk.as_ref().expect("the power is on")
    }
}

impl Room {
    /// From now on this rule is not kept by what is started.
    pub(crate) fn break_rule(&mut self, rule: Option<&'static str>) {
        self.broken = rule;
    }

    /// With disks of this kind.
    pub(crate) fn new(kind: FileSystem) -> Self {
        // Memory is quicker, and a disk is whatever keeps what it was given.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.expect("a temporary directory");
        fs::create_dir_all(dir.path().join("served/src")).expect("made");
        make_source(&dir.path().join("served/src"));
        let source = tree::read(&dir.path().join("served/src"));
        let empty = dir.path().join("empty image");
        Mounted::format(&empty, kind);
        let mut room = Self {
            processes: Processes::new(&dir.path().join("disk")),
            dir,
            kind,
            source,
            fingerprints: Default::default(),
            sending: (Pid::from_raw(0), String::new()),
            templates: HashMap::new(),
            broken: None,
        };
        for (number, home) in ["receiving", "sending"].into_iter().enumerate() {
            let (pid, ticket) = room.serve(home, &room.path("served"), ANY_PORT, "");
            let mut ls = room.qft("client");
            let listed = ls.arg("ls").arg(&ticket).output().expect("the program runs");
            assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
            let (who, address) = ticket.split_once('@').expect("a ticket has a place");
            room.fingerprints[number] = who["qft://".len()..].split(':').next().expect("a fingerprint").to_owned();
            room.sending = (pid, address.to_owned());
            if number == 0 {
                room.processes.kill(pid);
            }
        }
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory whose contents are sent, with a slash.
    fn source_of(&self, scene: Scene) -> PathBuf {
        self.path(&format!("served/src/{}", scene.of))
    }

    fn qft(&self, home: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qft"));
        command.env_remove("QFT_REMOTE").env("QFT_HOME", self.path(home)).env("HOME", self.dir.path());
        command.stdin(Stdio::null());
        match self.broken {
            Some(rule) => command.env("QFT_TEST_BREAK", rule),
            None => command.env_remove("QFT_TEST_BREAK"),
        };
        command
    }

    /// Appends what a command says to the files of that name.
    fn logged(&self, name: &str) -> impl FnOnce(&mut Command) + use<> {
        let path = |kind: &str| self.path(&format!("{name}.{kind}"));
        let [out, err] = [path("out"), path("err")];
        move |command| {
            let log = |path| File::options().append(true).create(true).open(path).expect("a log");
            command.stdout(log(out)).stderr(log(err)).stdin(Stdio::null());
        }
    }

    /// A server that is ready, and its ticket.
    fn serve(&mut self, home: &str, dir: &Path, listen: &str, options: &str) -> (Pid, String) {
        let ticket = self.path("ticket");
        drop(fs::remove_file(&ticket));
        let mut command = self.qft(home);
        command.arg("serve").arg(dir).args(["-q", "-w", "1", "-l", listen, "--ticket-file"]).arg(&ticket);
        command.args(options.split_whitespace());
        self.logged("server")(&mut command);
        let pid = self.processes.start(&mut command);
        let end = Instant::now() + DEADLINE;
        loop {
            if let Ok(text) = fs::read_to_string(&ticket)
                && text.ends_with('\n')
            {
                return (pid, text.trim_end().to_owned());
            }
            assert!(
                Instant::now() < end && !self.processes.has_ended(pid),
                "no server: {}",
                self.said_in("server.err")
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn said_in(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// An image with what is there before a run.
    fn template(&mut self, scene: Scene) -> PathBuf {
        let image = self.path(&format!("{} image", scene.name));
        if self.templates.insert(scene.name, image.clone()).is_none() {
            copy_data(&self.path("empty image"), &image);
            let disk = Mounted::mount(&image, &self.path("disk"), self.kind).expect("it was mounted before");
            scene.prepare(&self.source_of(scene), &disk.tree());
        }
        image
    }

    /// Begins a run whose receiving end is traced.
    fn begin(&mut self, scene: Scene, role: Role) -> Run {
        let template = self.template(scene);
        copy_data(&template, &self.path("image"));
        let disk = Mounted::mount(&self.path("image"), &self.path("disk"), self.kind).expect("it was mounted before");
        scene.unwritten.iter().for_each(|make| make(&self.source_of(scene), &disk.tree()));
        let before = tree::read(&disk.tree());
        for name in ["first.out", "again.out"] {
            drop(fs::remove_file(self.path(name)));
        }
        let receiving = (role == Role::Server).then(|| self.receive(scene, &disk, ANY_PORT));
        receiving.iter().for_each(|(pid, _)| self.processes.trace(*pid));
        let command = self.client(scene, role, &disk, receiving.as_ref().map(|(_, address)| &**address));
        let client = match role {
            Role::Client => self.processes.start_traced(&command, self.logged("first")),
            Role::Server => self.start(command, "first"),
        };
        Run { scene, role, disk: Some(disk), before, receiving, client }
    }

    fn start(&mut self, mut command: Command, name: &str) -> Pid {
        self.logged(name)(&mut command);
        self.processes.start(&mut command)
    }

    fn receive(&mut self, scene: Scene, disk: &Mounted, listen: &str) -> (Pid, String) {
        let (pid, ticket) = self.serve("receiving", &disk.tree(), listen, scene.server);
        (pid, ticket.split_once('@').expect("a ticket has a place").1.to_owned())
    }

    fn client(&self, scene: Scene, role: Role, disk: &Mounted, receiving: Option<&str>) -> Command {
        let mut command = self.qft("client");
        let [receiver, sender] = &self.fingerprints;
        match role {
            Role::Server => {
                let remote = format!("qft://{receiver}@{}", receiving.expect("a server receives"));
                command.arg("send").arg(self.source_of(scene)).args(["--to", &remote]);
            }
            Role::Client => {
                command.arg("get").arg(format!("qft://{sender}@{}/src/{}", self.sending.1, scene.of)).arg(disk.tree());
            }
        }
        command.arg("--json").args(scene.options.split_whitespace());
        command
    }

    /// What the client has said of files, in all runs on this disk.
    fn said(&self) -> Vec<Value> {
        [self.said_in("first.out"), self.said_in("again.out")].iter().flat_map(|text| events(text)).collect()
    }

    /// Mounts an image as after a cut, and holds what is there against what was said.
    fn judge(&self, run: &Run, image: &Path, exit: Option<i32>, counts: &mut Counts) {
        let disk = Mounted::mount(image, &self.path("look"), self.kind).expect("the journal is replayed");
        let found = tree::read(&disk.tree());
        drop(disk);
        let below = |(path, node): (&String, &Node)| Some((path.strip_prefix(run.scene.of)?.to_owned(), node.clone()));
        let source = self.source.iter().filter_map(below).filter(|(path, _)| !path.is_empty()).collect();
        let case = Case { scene: run.scene, source: &source, before: &run.before };
        case.judge(&self.said(), exit, &found, counts);
    }

    /// Follows one run to its end, and judges the disk as a cut would leave it after each call whose number is `first` and
    /// so many more.
    pub(crate) fn sweep(&mut self, scene: Scene, role: Role, journal: Journal, first: u64, every: u64) -> Counts {
        let run = self.begin(scene, role);
        let (mut counts, mut calls, mut last) = (Counts::default(), 0, None);
        let (mut heard, mut reported, copy) = (0, 0, self.path("copy"));
        let exit = loop {
            match self.processes.step() {
                Step::Ended(pid, code) if pid == run.client => break code,
                Step::Ended(pid, code) => panic!("{pid} ended with {code}: {}", self.said_in("server.err")),
                Step::Changed(_) => {
                    calls += 1;
                    if calls % every == first % every {
                        self.processes.until_quiet();
                    }
                    if journal == Journal::Early {
                        run.disk().commit_journal();
                    }
                    if calls % every == first % every {
                        counts.cuts += 1;
                        let (said, is_new) = (self.said().len(), run.disk().copy(&copy, &mut last));
                        // The same disk and the same words were judged before.
                        if is_new || said != heard {
                            let before = counts.reported;
                            self.judge(&run, &copy, None, &mut counts);
                            (heard, reported) = (said, counts.reported - before);
                        } else {
                            counts.reported += reported;
                        }
                    }
                    self.processes.go_on();
                }
            }
        };
        assert_eq!(exit, scene.exit(), "{scene}: {}", self.said_in("first.err"), scene = scene.name);
        assert!(!scene.is_dry() || calls == 0, "a dry run has made {calls} changes");
        counts.cuts += 1;
        run.disk().copy(&copy, &mut None);
        self.judge(&run, &copy, Some(exit), &mut counts);
        run.receiving.iter().for_each(|(pid, _)| self.processes.kill(*pid));
        counts
    }

    /// Runs until `is_time` says of a call, by number and name, that it is; then what `end` says happens, the same command
    /// is run to its end, and the power fails at once. `None`: the run ended before that.
    pub(crate) fn interrupted(
        &mut self,
        scene: Scene,
        role: Role,
        end: End,
        is_time: impl Fn(u64, &str) -> bool,
    ) -> Option<Counts> {
        let mut run = self.begin(scene, role);
        let (mut counts, mut calls) = (Counts::default(), 0);
        loop {
            match self.processes.step() {
                Step::Changed(call) => {
                    calls += 1;
                    if is_time(calls, call) {
                        break;
                    }
                    self.processes.go_on();
                }
                Step::Ended(pid, exit) => {
                    assert_eq!(pid, run.client, "it ended with {exit}: {}", self.said_in("server.err"));
                    // One that failed before its calls were made would look like one that has no more of them.
                    assert_eq!(exit, scene.exit(), "{scene}: {}", self.said_in("first.err"), scene = scene.name);
                    run.receiving.iter().for_each(|(pid, _)| self.processes.kill(*pid));
                    return None;
                }
            }
        }
        counts.cuts += 1;
        self.processes.until_quiet();
        match end {
            End::Power(cut) => {
                run.disk().cut(cut);
                run = self.power_off(run);
                self.judge(&run, &self.path("image"), None, &mut counts);
                let at = self.path("disk");
                run.disk = Some(Mounted::mount(&self.path("image"), &at, self.kind).expect("the journal was replayed"));
                self.again(&mut run);
            }
            End::Killed if role == Role::Client => {
                self.processes.kill(run.client);
                self.again(&mut run);
            }
            // The client finds the server that is started again.
            End::Killed => {
                let (pid, address) = run.receiving.take().expect("it receives");
                self.processes.kill(pid);
                run.receiving = Some(self.receive(scene, run.disk(), &address));
            }
            End::Lost => {
                let (pid, address) = self.sending.clone();
                self.processes.kill(pid);
                self.sending.0 = self.serve("sending", &self.path("served"), &address, "").0;
                self.processes.go_on();
            }
        }
        let exit = self.processes.end(run.client);
        run.disk().cut(Cut::AtOnce);
        assert_eq!(exit, scene.exit(), "{scene}: {}", self.said_in("again.err"), scene = scene.name);
        let run = self.power_off(run);
        self.judge(&run, &self.path("image"), Some(exit), &mut counts);
        Some(counts)
    }

    /// The same command again.
    fn again(&mut self, run: &mut Run) {
        if run.role == Role::Server {
            run.receiving = Some(self.receive(run.scene, run.disk(), ANY_PORT));
        }
        let command = self.client(run.scene, run.role, run.disk(), run.receiving.as_ref().map(|(_, at)| &**at));
        run.client = self.start(command, "again");
    }

    /// Ends what uses the disk, and takes it away.
    fn power_off(&mut self, run: Run) -> Run {
        self.processes.kill(run.client);
        run.receiving.iter().for_each(|(pid, _)| self.processes.kill(*pid));
        let Run { scene, role, disk, before, client, .. } = run;
        drop(disk);
        // Whoever makes a mount namespace of its own meanwhile has the disk mounted for longer, and the system gives a file
        // that is mounted, dead as it is, to whoever mounts it again. A copy is another file.
        let (image, copy) = (self.path("image"), self.path("copy"));
        copy_data(&image, &copy);
        fs::rename(copy, image).expect("they lie beside each other");
        Run { scene, role, disk: None, before, receiving: None, client }
    }
}
