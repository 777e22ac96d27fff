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
    // For a new video.
    reset() {
      this.cancel();
      this.error.hidden = true;
      for (const button of this.buttons) button.disabled = false;
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
    if (video) setTimeout(wrapped, 50); // after Gradio has set up the rest of the tab
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
        event.currentTarget.setAttribute("aria-pressed", String(!this.after.muted));
      });
      this.seek.addEventListener("input", () => {
        this.after.currentTime = this.seek.value * this.after.duration;
      });
      for (const name of ["play", "pause"])
        this.after.addEventListener(name, () => {
          const button = element.querySelector("[data-do=play]");
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

  // The value that is chosen among radio buttons, which Gradio may add later than the rest of the page.
  async function choice(id) {
    for (;;) {
      const input = document.querySelector(`#${id} input:checked`);
      if (input) return input.value;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async function steps() {
    const values = await Promise.all(["smoother", "larger", "cleaner"].map(choice));
    return new URLSearchParams(values.filter(Boolean).join("&"));
  }

  function enhance(element) {
    const runner = new Runner(element);
    const player = new Player(element.querySelector(".player"));
    const download = element.querySelector(".download");
    let shown = null; // the job whose result is shown
    const start = async (preview) => {
      const chosen = video;
      const fields = await steps();
      if (chosen !== video) return;
      if (!fields.size) return runner.fail("choose smoother, larger or cleaner");
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
      runner.reset();
      shown = null;
      element.querySelector(".player").hidden = true;
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
      runner.reset();
      found = null;
      element.querySelector(".found").hidden = true;
      if (visible) start();
    });
  }

  // A canvas that shows a picture with marks; positions are in pixels of the picture, 0 being the center of the first.
  async function paint(canvas, url, mark) {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const zoom = Math.max(1, Math.round(960 / picture.width));
    canvas.width = picture.width * zoom;
    canvas.height = picture.height * zoom;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const outline = (color) => {
      for (const [width, style] of [[5, "#000c"], [2.5, color]]) {
        context.lineWidth = width;
        context.strokeStyle = style;
        context.stroke();
      }
    };
    const circle = (x, y, radius, color) => {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      outline(color);
    };
    mark({
      circle: (x, y, radius, color) => circle((x + 0.5) * zoom, (y + 0.5) * zoom, radius, color),
      // The surroundings of the points, magnified, in the corner that is farthest from them.
      magnify: (points, color) => {
        const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis] + 0.5));
        const reach = Math.max(8, ...[xs, ys].map((values) => (Math.max(...values) - Math.min(...values)) * 0.65));
        const [x, y] = [xs, ys].map((values) => (Math.max(...values) + Math.min(...values)) / 2);
        const side = Math.min(canvas.width, canvas.height) * 0.55;
        const [left, top] = [x * 2 > picture.width ? 8 : canvas.width - side - 8, y * 2 > picture.height ? 8 : canvas.height - side - 8];
        const scale = side / (2 * reach);
        context.save();
        context.beginPath();
        context.rect(left, top, side, side);
        outline(color);
        context.clip();
        context.fillRect(left, top, side, side);
        context.drawImage(picture, left - (x - reach) * scale, top - (y - reach) * scale, picture.width * scale, picture.height * scale);
        for (const [px, py, radius] of points) circle(left + (px + 0.5 - x + reach) * scale, top + (py + 0.5 - y + reach) * scale, radius, color);
        context.restore();
        context.beginPath();
        context.rect((x - reach) * zoom, (y - reach) * zoom, 2 * reach * zoom, 2 * reach * zoom);
        outline(color);
      },
    });
  }

  function look(element) {
    const runner = new Runner(element);
    const seen = element.querySelector(".seen");
    const seek = element.querySelector(".seek");
    const [made, ...inputs] = element.querySelectorAll("canvas");
    const pixel = { x: 0.5, y: 0.5 };
    let found = null;
    const mark = (drawing) => drawing.circle(pixel.x * found.width - 0.5, pixel.y * found.height - 0.5, 12, "#fff");
    const describePoints = () => {
      const parts = [0, 1].map((frame) => found.points.filter((point) => point[0] === frame).reduce((sum, point) => sum + point[3], 0));
      return (
        `Pixel ${found.x}, ${found.y}: ${found.points.length} samples, ${Math.round(100 * parts[0])} % of the weight in the frame ` +
        `before and ${Math.round(100 * parts[1])} % in the frame after. They are ${found.spread.toFixed(1)} pixels apart on average.`
      );
    };
    const draw = async () => {
      if (!found.points.length) return runner.fail("nothing was sampled for this pixel");
      element.querySelector(".inside").hidden = false;
      element.querySelector(".caption").textContent = describePoints();
      await paint(made, found.output, mark);
      for (const [frame, canvas] of inputs.entries())
        await paint(canvas, found.frames[frame], (drawing) => {
          const most = found.points[0][3];
          const points = found.points.filter((point) => point[0] === frame && point[3] > most / 100);
          if (points.length) drawing.magnify(points.map(([, x, y, share]) => [x, y, 2 + 18 * Math.sqrt(share / most)]).reverse(), "#fbbf24");
        });
    };
    const start = async () => {
      const chosen = video;
      const quality = await choice("network");
      if (chosen !== video) return;
      const job = await runner.run(Object.entries({ kind: "sampling", time: seek.value, ...pixel, quality }));
      if (!job || chosen !== video) return;
      found = await (await fetch(`jobs/${job.id}/result`)).json();
      if (job.id !== chosen.source) forget(job.id);
      await draw();
    };
    seek.addEventListener("input", () => {
      seen.currentTime = seek.value;
      element.querySelector(".time").textContent = `${Math.floor(seek.value / 60)}:${(seek.value % 60).toFixed(2).padStart(5, "0")}`;
    });
    seen.addEventListener("loadedmetadata", () => (seek.max = Number.isFinite(seen.duration) ? seen.duration : 0));
    element.querySelector("[data-do=look]").addEventListener("click", start);
    made.addEventListener("click", (event) => {
      pixel.x = event.offsetX / made.clientWidth;
      pixel.y = event.offsetY / made.clientHeight;
      paint(made, found.output, mark);
      start();
    });
    made.addEventListener("keydown", (event) => {
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
      if (!dx && !dy && event.key !== "Enter") return;
      event.preventDefault();
      if (event.key === "Enter") return start();
      const far = event.shiftKey ? 10 : 1;
      pixel.x = Math.min(0.9999, Math.max(0, pixel.x + (far * dx) / found.width));
      pixel.y = Math.min(0.9999, Math.max(0, pixel.y + (far * dy) / found.height));
      paint(made, found.output, mark);
    });
    onVideo(element, (visible) => {
      runner.reset();
      found = null;
      element.querySelector(".inside").hidden = true;
      seen.src = video.url;
      seek.value = 0;
      if (visible) start();
    });
  }

  return { drop, enhance, recognize, look };
})();
