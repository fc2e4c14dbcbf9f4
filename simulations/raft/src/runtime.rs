//! Simulated time and tasks: one thread, one seed, and openraft's runtime on top.
//!
//! Every task belongs to a *process* (0 is the world, which never fails). A process has its own
//! monotonic clock, may be paused, and may be killed with all its tasks. Which of the ready tasks
//! goes next is drawn from the seed, never from the order in which they were woken: tokio's watch
//! channel wakes its waiters in an order of its own.

use consensus::platform::{
    TokioRuntime,
    runtime::{AsyncRuntime, Instant},
};
use parking_lot::Mutex;
use sansio::{Seed, Stream};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    future::Future,
    io,
    ops::{Add, AddAssign, Sub, SubAssign},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::sync::oneshot;

/// One run of a program on a member; 0 is the world.
pub(crate) type Process = u32;

/// The world's own process: its clock is the true one.
pub(crate) const WORLD: Process = 0;

/// Polls at one instant after which a run is said to hang.
const POLLS_AT_ONCE: u64 = 2_000_000;

thread_local! {
    static SIM: RefCell<Option<Rc<Sim>>> = const { RefCell::new(None) };
}

/// A process's clocks against the true time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// True nanoseconds at which `local` was right.
    at: u64,
    local: u64,
    /// Nanoseconds of it in a million true ones.
    rate: u64,
    /// Milliseconds that its calendar is wrong by.
    calendar: i64,
}

impl Clock {
    fn local(&self, now: u64) -> u64 {
        let passed = u128::from(now - self.at) * u128::from(self.rate) / 1_000_000;
        self.local + passed as u64
    }

    /// The true time at which it will show `local`.
    fn shows(&self, local: u64) -> u64 {
        let missing = u128::from(local.saturating_sub(self.local)) * 1_000_000;
        self.at + missing.div_ceil(u128::from(self.rate)) as u64
    }
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    process: Process,
    /// Taken out while it is polled.
    work: Option<Work>,
}

type Timer = (Process, u64, u64);

struct Sim {
    now: Cell<u64>,
    current: Cell<Process>,
    random: RefCell<Stream>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    next: Cell<u64>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
    timers: RefCell<BTreeMap<Timer, Waker>>,
    clocks: RefCell<BTreeMap<Process, Clock>>,
    paused: RefCell<BTreeSet<Process>>,
    polls: Cell<u64>,
    /// It ended: what is dropped now is taken apart.
    over: Cell<bool>,
}

fn sim() -> Rc<Sim> {
    SIM.with(|sim| sim.borrow().clone())
        .expect("only called inside of a simulation")
}

struct TaskWaker {
    id: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().insert(self.id);
    }
}

/// How a simulation ended before it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// Tasks wake each other for ever.
    Busy,
    /// Nobody waits for anything but a message that never comes.
    Idle,
    /// A task of that process panicked.
    Panicked(Process, String),
}

/// The main future's number among the ready ones.
const MAIN: u64 = u64::MAX;

/// Runs `main` in the world of that seed, until it is done.
pub(crate) fn run<T>(seed: u64, main: impl Future<Output = T>) -> Result<T, Stuck> {
    let world = Rc::new(Sim {
        now: Cell::new(0),
        current: Cell::new(WORLD),
        random: RefCell::new(Seed::from_u64(seed).stream("runtime")),
        tasks: RefCell::default(),
        next: Cell::new(0),
        ready: Arc::new(Mutex::new(BTreeSet::from([MAIN]))),
        timers: RefCell::default(),
        clocks: RefCell::default(),
        paused: RefCell::default(),
        polls: Cell::new(0),
        over: Cell::new(false),
    });
    SIM.with(|sim| sim.replace(Some(Rc::clone(&world))));
    begin(WORLD, 1_000_000, 0);
    let mut main = Box::pin(main);
    let waker = world.waker(MAIN);
    let ended = loop {
        if world.ready.lock().remove(&MAIN) {
            let polled = main.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(value) = polled {
                break Ok(value);
            }
        }
        match world.step() {
            Ok(()) => {}
            Err(stuck) => break Err(stuck),
        }
    };
    world.over.set(true);
    // What goes drops timers and wakes others: the world stays until all are gone.
    drop(main);
    let processes: BTreeSet<Process> = (world.tasks.borrow().values())
        .map(|task| task.process)
        .collect();
    processes.into_iter().for_each(kill);
    SIM.with(|sim| sim.replace(None));
    ended
}

impl Sim {
    fn waker(&self, id: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker {
            id,
            ready: Arc::clone(&self.ready),
        }))
    }

    /// Polls one ready task, or lets time pass.
    fn step(&self) -> Result<(), Stuck> {
        let ready = {
            let mut ready = self.ready.lock();
            let (tasks, paused) = (self.tasks.borrow(), self.paused.borrow());
            ready.retain(|id| *id == MAIN || tasks.contains_key(id));
            if ready.contains(&MAIN) {
                return Ok(());
            }
            let may = |id: &&u64| !paused.contains(&tasks[*id].process);
            let may: Vec<u64> = ready.iter().filter(may).copied().collect();
            match may.len() {
                0 => None,
                n => {
                    let chosen = may[self.random.borrow_mut().below(n as u32) as usize];
                    ready.remove(&chosen);
                    Some(chosen)
                }
            }
        };
        match ready {
            Some(id) => self.poll(id),
            None => self.pass(),
        }
    }

    fn poll(&self, id: u64) -> Result<(), Stuck> {
        self.polls.set(self.polls.get() + 1);
        if self.polls.get() > POLLS_AT_ONCE {
            return Err(Stuck::Busy);
        }
        let (process, mut work) = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(task) = tasks.get_mut(&id) else {
                return Ok(());
            };
            let work = task.work.take();
            (
                task.process,
                work.expect("a task is polled by one at a time"),
            )
        };
        let waker = self.waker(id);
        let before = self.current.replace(process);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            work.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        let result = match polled {
            Ok(Poll::Pending) => {
                // It may have killed its own process.
                if let Some(task) = self.tasks.borrow_mut().get_mut(&id) {
                    task.work = Some(work);
                }
                Ok(())
            }
            Ok(Poll::Ready(())) => {
                drop(work);
                self.tasks.borrow_mut().remove(&id);
                Ok(())
            }
            Err(panic) => {
                self.tasks.borrow_mut().remove(&id);
                let words = (panic.downcast_ref::<String>().cloned())
                    .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                Err(Stuck::Panicked(process, words.unwrap_or_default()))
            }
        };
        self.current.set(before);
        result
    }

    /// Nobody is ready: on to the next timer.
    fn pass(&self) -> Result<(), Stuck> {
        self.polls.set(0);
        let clocks = self.clocks.borrow();
        let paused = self.paused.borrow();
        let mut timers = self.timers.borrow_mut();
        let running = || clocks.iter().filter(|(p, _)| !paused.contains(p));
        let next = running()
            .filter_map(|(process, clock)| {
                let first = timers.range((*process, 0, 0)..(*process + 1, 0, 0)).next();
                first.map(|((_, local, _), _)| clock.shows(*local))
            })
            .min();
        let Some(next) = next else {
            return Err(Stuck::Idle);
        };
        let now = self.now.get().max(next);
        self.now.set(now);
        for (process, clock) in running() {
            let end = (*process, clock.local(now) + 1, 0);
            let due: Vec<Timer> = timers
                .range((*process, 0, 0)..end)
                .map(|(timer, _)| *timer)
                .collect();
            for timer in due {
                if let Some(waker) = timers.remove(&timer) {
                    waker.wake();
                }
            }
        }
        Ok(())
    }

    fn local(&self, process: Process) -> u64 {
        (self.clocks.borrow().get(&process))
            .map_or(self.now.get(), |clock| clock.local(self.now.get()))
    }
}

/// A process begins, with a clock of that rate (a million is right) and a calendar that wrong.
pub(crate) fn begin(process: Process, rate: u64, calendar: i64) {
    let sim = sim();
    let at = sim.now.get();
    let clock = Clock {
        at,
        // No two processes agree on what their clocks count from.
        local: 1_000_000_000 * u64::from(process + 1),
        rate,
        calendar,
    };
    sim.clocks.borrow_mut().insert(process, clock);
}

/// Ends a process: its tasks are dropped where they stand.
pub(crate) fn kill(process: Process) {
    let sim = sim();
    loop {
        let task = {
            let mut tasks = sim.tasks.borrow_mut();
            let found = (tasks.iter()).find(|(_, task)| task.process == process);
            let id = found.map(|(id, _)| *id);
            id.and_then(|id| tasks.remove(&id))
        };
        let Some(task) = task else { break };
        within(process, || drop(task));
    }
    sim.clocks.borrow_mut().remove(&process);
    sim.paused.borrow_mut().remove(&process);
    (sim.timers.borrow_mut()).retain(|(of, _, _), _| *of != process);
}

/// Stops or resumes a process: its clocks go on, nothing else does. On another thread than the
/// simulation's, nothing.
pub(crate) fn pause(process: Process, stopped: bool) {
    let Some(sim) = SIM.with(|sim| sim.borrow().clone()) else {
        return;
    };
    if stopped {
        sim.paused.borrow_mut().insert(process);
    } else {
        sim.paused.borrow_mut().remove(&process);
    }
}

/// From now on the process's clock goes at `rate`, after a leap forward.
pub(crate) fn set_clock(process: Process, rate: u64, leap: Duration) {
    let sim = sim();
    let now = sim.now.get();
    if let Some(clock) = sim.clocks.borrow_mut().get_mut(&process) {
        clock.local = clock.local(now) + leap.as_nanos() as u64;
        clock.at = now;
        clock.rate = rate;
    }
}

/// From now on the process's calendar is wrong by so many milliseconds.
pub(crate) fn set_calendar(process: Process, wrong: i64) {
    if let Some(clock) = sim().clocks.borrow_mut().get_mut(&process) {
        clock.calendar = wrong;
    }
}

/// Whether the run has ended, and nothing that fails from now on belongs to it.
pub(crate) fn is_over() -> bool {
    SIM.with(|sim| sim.borrow().as_ref().is_some_and(|sim| sim.over.get()))
}

/// Milliseconds of the run, truly.
pub(crate) fn millis() -> u64 {
    sim().now.get() / 1_000_000
}

/// Nanoseconds of the run, truly.
pub(crate) fn nanos() -> u64 {
    sim().now.get()
}

/// The clock of whoever asks, in nanoseconds.
pub(crate) fn local_nanos() -> u64 {
    let sim = sim();
    sim.local(sim.current.get())
}

/// The calendar of whoever asks, in milliseconds.
pub(crate) fn calendar() -> i64 {
    const NOON: i64 = 1_795_280_400_000;
    let sim = sim();
    let wrong = (sim.clocks.borrow().get(&sim.current.get())).map_or(0, |clock| clock.calendar);
    NOON + (sim.now.get() / 1_000_000) as i64 + wrong
}

/// Draws from the run's one stream of randomness.
pub(crate) fn draw<T>(how: impl FnOnce(&mut Stream) -> T) -> T {
    how(&mut sim().random.borrow_mut())
}

/// A duration of up to `most`.
pub(crate) fn draw_up_to(most: Duration) -> Duration {
    let micros = u32::try_from(most.as_micros()).unwrap_or(u32::MAX - 1);
    Duration::from_micros(u64::from(draw(|r| r.below(micros + 1))))
}

/// Does something as a process: what it drops or spawns is that process's.
pub(crate) fn within<T>(process: Process, what: impl FnOnce() -> T) -> T {
    let sim = sim();
    let before = sim.current.replace(process);
    let result = what();
    sim.current.set(before);
    result
}

/// A new task of a process; of one that is gone, nothing.
pub(crate) fn spawn_on(process: Process, work: impl Future<Output = ()> + 'static) {
    let sim = sim();
    if !sim.clocks.borrow().contains_key(&process) {
        return;
    }
    let id = sim.next.get();
    sim.next.set(id + 1);
    let task = Task {
        process,
        work: Some(Box::pin(work)),
    };
    sim.tasks.borrow_mut().insert(id, task);
    sim.ready.lock().insert(id);
}

/// Waits, by the clock of whoever asks.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    SimRuntime::sleep(duration)
}

/// The runtime that openraft sees.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimRuntime;

/// Nanoseconds of a process's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimInstant(u64);

impl Add<Duration> for SimInstant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(duration)))
    }
}

impl AddAssign<Duration> for SimInstant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for SimInstant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(duration)))
    }
}

impl SubAssign<Duration> for SimInstant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for SimInstant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Instant for SimInstant {
    fn now() -> Self {
        let sim = sim();
        Self(sim.local(sim.current.get()))
    }
}

/// Waits for an instant.
#[derive(Debug)]
pub struct Sleep {
    deadline: u64,
    timer: Option<Timer>,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sim = sim();
        let process = sim.current.get();
        if sim.local(process) >= self.deadline {
            return Poll::Ready(());
        }
        let timer = self.timer.unwrap_or_else(|| {
            let id = sim.next.get();
            sim.next.set(id + 1);
            (process, self.deadline, id)
        });
        self.timer = Some(timer);
        sim.timers.borrow_mut().insert(timer, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(timer) = self.timer else { return };
        let sim = SIM.with(|sim| sim.borrow().clone());
        if let Some(sim) = sim {
            sim.timers.borrow_mut().remove(&timer);
        }
    }
}

/// It took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took too long")
    }
}

/// A future with a deadline.
#[derive(Debug)]
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Sleep,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut self.sleep).poll(cx).map(|()| Err(Elapsed))
    }
}

/// The result of a task, once it is there.
#[derive(Debug)]
pub struct JoinHandle<T>(oneshot::Receiver<T>);

/// The task went with its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed;

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process was killed")
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Killed>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.0).poll(cx);
        polled.map(|result| result.map_err(|_| Killed))
    }
}

/// The run's randomness, as openraft draws it.
#[derive(Clone, Copy, Debug)]
pub struct SimRandom;

impl rand::TryRng for SimRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(draw(Stream::next_u32))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(draw(Stream::next_u64))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        draw(|r| r.fill(bytes));
        Ok(())
    }
}

impl AsyncRuntime for SimRuntime {
    type JoinError = Killed;
    type JoinHandle<T: Send + 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = SimInstant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + Send> = Timeout<T>;
    type ThreadLocalRng = SimRandom;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        spawn_on(sim().current.get(), async move {
            // Whoever spawned it may not want to know.
            sender.send(future.await).ok();
        });
        JoinHandle(receiver)
    }

    fn sleep(duration: Duration) -> Sleep {
        Self::sleep_until(SimInstant::now() + duration)
    }

    fn sleep_until(deadline: SimInstant) -> Sleep {
        Sleep {
            deadline: deadline.0,
            timer: None,
        }
    }

    fn timeout<R, F: Future<Output = R> + Send>(duration: Duration, future: F) -> Timeout<F> {
        Self::timeout_at(SimInstant::now() + duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(deadline: SimInstant, future: F) -> Timeout<F> {
        Timeout {
            future: Box::pin(future),
            sleep: Self::sleep_until(deadline),
        }
    }

    fn is_panic(_: &Killed) -> bool {
        // A panic ends the whole run.
        false
    }

    fn thread_rng() -> SimRandom {
        SimRandom
    }

    // tokio's channels know nothing of runtimes.
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: Send + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn new(_: usize) -> Self {
        Self
    }

    /// A simulation of its own around one future, for openraft's tests of runtimes.
    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        run(0, future).expect("the future ends by itself")
    }

    async fn spawn_blocking<F, T>(work: F) -> Result<T, io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Ok(work())
    }
}
