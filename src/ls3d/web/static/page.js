// The page's own part: uploads, jobs, and the players. Everything goes through the REST interface.
"use strict";
window.ls3d = (() => {
  const POLL = 400; // milliseconds between two questions about a job
  let video = null; // the chosen file: {file, url, source}; source is a job whose upload can be used again
  const alive = new Set(); // jobs to delete when the page is left
  const listeners = [];

  const seconds = (value) => {
    const whole = Math.max(0, Math.round(value));
    const rest = String(whole % 60).padStart(2, "0");
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor(whole / 60) % 60;
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  };
  const bytes = (value) => (value < 1e6 ? `${(value / 1e3).toFixed(0)} kB` : `${(value / 1e6).toFixed(1)} MB`);
  const forget = (id) => {
    alive.delete(id);
    fetch(`jobs/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
  };
  addEventListener("pagehide", (event) => {
    if (!event.persisted) alive.forEach(forget);
  });

  // Send a form with progress, which fetch can't show.
  function post(form, signal, show) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", "jobs");
      request.responseType = "json";
      request.upload.onprogress = (event) => show(event.loaded / event.total);
      request.onload = () =>
        request.status === 202
          ? resolve(request.response)
          : reject(Object.assign(new Error(request.response?.error ?? "the server can't be reached"), { status: request.status }));
      request.onerror = () => reject(new Error("the server can't be reached"));
      request.onabort = () => reject(new DOMException("", "AbortError"));
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });
  }

  // Submit a job for the chosen video, which is uploaded once and again only if the server has deleted it.
  async function submit(fields, signal, show) {
    const chosen = video;
    const form = new FormData();
    for (const [name, value] of fields) form.append(name, value);
    if (chosen.source && (await fetch(`jobs/${chosen.source}`, { signal })).ok) {
      form.append("source", chosen.source);
      show("Starting", null);
    } else {
      form.append("file", chosen.file, "video");
    }
    const job = await post(form, signal, (part) => show(`Uploading ${Math.round(100 * part)} %`, part));
    alive.add(job.id);
    chosen.source ??= job.id;
    if (!alive.has(chosen.source)) chosen.source = job.id;
    return job.id;
  }

  function describe(job) {
    if (job.state === "queued") return [job.ahead ? `Waiting: ${job.ahead} before this one` : "Waiting: next in line", null];
    const work = job.progress;
    if (!work) return ["Starting", null];
    if (work.phase === "windows") return [`${seconds(work.done)} of ${seconds(work.total)}`, work.total ? work.done / work.total : null];
    const left = work.remaining === null ? "" : ` · ${seconds(work.remaining)} left`;
    const part = work.total ? Math.min(1, work.done / work.total) : null;
    return [`Frame ${work.done}${work.total ? ` of ${work.total}` : ""}${left}`, part];
  }

  // Run a job and return its last state; null if it was canceled.
  class Runner {
    constructor(element) {
      this.work = element.querySelector(".work");
      this.error = element.querySelector(".error");
      this.buttons = element.querySelectorAll(".actions button");
      this.stop = null;
      this.work.querySelector("[data-do=cancel]").addEventListener("click", () => this.cancel());
    }
    cancel() {
      this.stop?.abort();
    }
    show(text, part) {
      this.work.querySelector(".state").textContent = text;
      const bar = this.work.querySelector("progress");
      if (part === null) bar.removeAttribute("value");
      else bar.value = part;
    }
    fail(sentence) {
      this.error.textContent = sentence.charAt(0).toUpperCase() + sentence.slice(1) + (sentence.endsWith(".") ? "" : ".");
      this.error.hidden = false;
    }
    async run(fields) {
      this.cancel();
      const stop = (this.stop = new AbortController());
      this.error.hidden = true;
      this.work.hidden = false;
      this.show("Starting", null);
      let id = null;
      try {
        id = await submit(fields, stop.signal, (text, part) => this.stop === stop && this.show(text, part));
        for (;;) {
          const answer = await fetch(`jobs/${id}`, { signal: stop.signal });
          const job = await answer.json();
          if (!answer.ok) throw new Error(job.error);
          if (job.state === "failed") throw new Error(job.error);
          if (job.state === "finished") return job;
          this.show(...describe(job));
          await new Promise((resolve) => setTimeout(resolve, POLL));
          stop.signal.throwIfAborted();
        }
      } catch (error) {
        if (id) this.drop(id);
        if (error.name !== "AbortError") this.fail(error.message);
        return null;
      } finally {
        if (this.stop === stop) {
          this.stop = null;
          this.work.hidden = true;
        }
      }
    }
    // Delete a job, but keep the only one that has the upload.
    drop(id) {
      if (video?.source === id && !this.error.hidden) return;
      if (video?.source === id) video.source = null;
      forget(id);
    }
  }

  function choose(file) {
    if (video) {
      URL.revokeObjectURL(video.url);
      alive.forEach(forget);
    }
    video = { file, url: URL.createObjectURL(file), source: null };
    document.getElementById("file-name").textContent = file.name;
    document.getElementById("file-note").textContent = `${bytes(file.size)}. Drop another video here to replace it.`;
    document.getElementById("drop").classList.add("chosen");
    for (const listener of listeners) listener();
  }

  function drop(element) {
    const zone = element.querySelector(".drop");
    const input = element.querySelector("input");
    input.addEventListener("change", () => {
      if (input.files.length) choose(input.files[0]);
      input.value = "";
    });
    // The whole page takes a dropped file.
    for (const name of ["dragover", "drop", "dragleave"])
      addEventListener(name, (event) => {
        event.preventDefault();
        zone.classList.toggle("over", name === "dragover");
        if (name === "drop" && event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
      });
  }

  // Called for every chosen video, at once for one that was chosen before this part of the page was shown.
  function onVideo(element, listener) {
    const wrapped = () => element.isConnected && listener(element.offsetParent !== null);
    listeners.push(wrapped);
    if (video) wrapped();
  }

  // Two videos that play in step. The result leads; the original may be shorter or slower.
  class Player {
    constructor(element) {
      this.element = element;
      this.after = element.querySelector(".after");
      this.before = element.querySelector(".before");
      this.seek = element.querySelector(".seek");
      this.ratio = 1; // seconds of the original in a second of the result
      const split = element.querySelector(".split");
      const divide = () => element.style.setProperty("--split", `${split.value}%`);
      split.addEventListener("input", divide);
      divide();
      const on = (name, action) => element.querySelector(`[data-do=${name}]`).addEventListener("click", action);
      on("play", () => (this.after.paused ? this.play() : this.after.pause()));
      on("sound", (event) => {
        this.after.muted = !this.after.muted;
        event.target.textContent = this.after.muted ? "🔇" : "🔊";
        event.target.setAttribute("aria-pressed", String(!this.after.muted));
      });
      this.seek.addEventListener("input", () => {
        this.after.currentTime = this.seek.value * this.after.duration;
      });
      for (const name of ["play", "pause"])
        this.after.addEventListener(name, () => {
          const button = element.querySelector("[data-do=play]");
          button.textContent = this.after.paused ? "▶" : "⏸";
          button.setAttribute("aria-label", this.after.paused ? "Play" : "Pause");
          if (this.after.paused) this.before.pause();
        });
      this.after.addEventListener("seeked", () => this.align(0));
      this.before.addEventListener("error", () => {
        if (this.before.getAttribute("src")) element.classList.add("only-after");
      });
      const tick = () => {
        if (!element.hidden) this.step();
        if (element.isConnected) requestAnimationFrame(tick);
      };
      tick();
    }
    load(result, original, slowdown) {
      this.ratio = 1 / slowdown;
      this.element.classList.remove("only-after");
      this.element.hidden = false;
      this.after.src = result;
      this.before.src = original;
      this.play();
    }
    play() {
      this.after.play().catch(() => {});
    }
    align(tolerance) {
      const wanted = Math.min(this.after.currentTime * this.ratio, Math.max(0, this.before.duration - 0.001) || 0);
      if (!this.before.seeking && Math.abs(this.before.currentTime - wanted) > tolerance) this.before.currentTime = wanted;
      return wanted;
    }
    step() {
      const { after, before } = this;
      if (!after.duration) return;
      this.seek.value = after.currentTime / after.duration;
      this.element.querySelector(".time").textContent = `${seconds(after.currentTime)} / ${seconds(after.duration)}`;
      if (!before.duration || before.seeking || after.paused) return;
      const ahead = before.currentTime - this.align(0.15);
      before.playbackRate = Math.max(0.0625, this.ratio * (1 - Math.max(-0.5, Math.min(0.5, 4 * ahead))));
      if (before.paused && !before.ended) before.play().catch(() => {});
    }
  }

  function steps() {
    const values = ["smoother", "larger", "cleaner"].map((id) => document.querySelector(`#${id} input:checked`)?.value ?? "");
    return new URLSearchParams(values.filter(Boolean).join("&"));
  }

  function enhance(element) {
    const runner = new Runner(element);
    const player = new Player(element.querySelector(".player"));
    const download = element.querySelector(".download");
    let shown = null; // the job whose result is shown
    const start = async (preview) => {
      const fields = steps();
      if (!fields.size) return runner.fail("choose smoother, larger or cleaner");
      const chosen = video;
      const slowdown = fields.has("slow_motion") ? Number(fields.get("factor")) : 1;
      if (preview) fields.append("preview", "true");
      const job = await runner.run(fields);
      if (!job || chosen !== video) return;
      if (shown && shown !== chosen.source) forget(shown);
      shown = job.id;
      player.load(`jobs/${job.id}/result`, chosen.url, slowdown);
      const { frames_in, frames_out, notes } = job.report;
      const count = frames_in === frames_out ? `${frames_out} frames` : `${frames_in} frames became ${frames_out}`;
      element.querySelector(".caption").textContent = [`${preview ? "Preview" : "Whole video"}: ${count}, ${bytes(job.size)}`, ...notes].join(". ");
      download.href = `jobs/${job.id}/result`;
      download.download = `${chosen.file.name.replace(/\.[^.]*$/, "")}_${preview ? "preview" : "enhanced"}.mp4`;
    };
    const on = (name, action) => element.querySelector(`[data-do=${name}]`).addEventListener("click", action);
    on("preview", () => start(true));
    on("whole", () => start(false));
    onVideo(element, (visible) => {
      runner.cancel();
      runner.error.hidden = true;
      shown = null;
      element.querySelector(".player").hidden = true;
      for (const button of runner.buttons) button.disabled = false;
      if (visible) start(true);
    });
  }

  function list(target, best) {
    const rows = Object.entries(best).map(([name, value]) => {
      const row = document.createElement("li");
      row.style.setProperty("--part", value);
      for (const text of [name, `${(100 * value).toFixed(1)} %`]) row.append(Object.assign(document.createElement("span"), { textContent: text }));
      return row;
    });
    target.replaceChildren(...rows);
  }

  // Consecutive windows with the same most probable class, each up to the beginning of the next one.
  function runs(found) {
    const parts = [];
    found.windows.forEach((window, index) => {
      const [name] = Object.keys(window.best);
      const end = found.windows[index + 1]?.start ?? Math.max(found.duration, window.start);
      if (parts.at(-1)?.name === name) parts.at(-1).end = end;
      else parts.push({ name, start: window.start, end });
    });
    return parts;
  }

  function recognize(element) {
    const runner = new Runner(element);
    const seen = element.querySelector(".seen");
    const line = element.querySelector(".timeline");
    let found = null;
    const update = () => {
      if (!found) return;
      const now = found.windows.findLast((window) => window.start <= seen.currentTime + 0.01) ?? found.windows[0];
      element.querySelector(".now-title").textContent = `${seconds(now.start)} to ${seconds(Math.min(now.end, found.duration))}`;
      list(element.querySelector(".now"), now.best);
      line.style.setProperty("--now", Math.min(1, seen.currentTime / found.duration));
    };
    seen.addEventListener("timeupdate", update);
    const draw = () => {
      list(element.querySelector(".whole"), found.best);
      const names = Object.keys(found.best);
      const buttons = runs(found).map((part) => {
        const button = document.createElement("button");
        button.type = "button";
        button.style.flexGrow = Math.max(0.001, part.end - part.start);
        button.dataset.color = names.includes(part.name) ? names.indexOf(part.name) : "other";
        button.textContent = button.title = part.name;
        button.setAttribute("aria-label", `${part.name}, from ${seconds(part.start)}`);
        button.addEventListener("click", () => {
          seen.currentTime = part.start;
          update();
        });
        return button;
      });
      line.replaceChildren(...buttons);
      element.querySelector(".found").hidden = false;
      update();
    };
    const start = async () => {
      const chosen = video;
      const job = await runner.run([["kind", "classify"]]);
      if (!job || chosen !== video) return;
      found = await (await fetch(`jobs/${job.id}/result`)).json();
      seen.src = chosen.url;
      if (job.id !== chosen.source) forget(job.id);
      draw();
    };
    element.querySelector("[data-do=recognize]").addEventListener("click", start);
    onVideo(element, (visible) => {
      runner.cancel();
      runner.error.hidden = true;
      found = null;
      element.querySelector(".found").hidden = true;
      for (const button of runner.buttons) button.disabled = false;
      if (visible) start();
    });
  }

  return { drop, enhance, recognize };
})();
