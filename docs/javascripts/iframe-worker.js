// Pages opened from a folder may not start workers. There a worker is a hidden frame of the page
// that loads the same script, so that the search works without a server.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      // what the script calls as a worker: it answers to the page, and hears only this object
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.importScripts = (...urls) => urls.reduce(
        (before, each) => before.then(() => load(frame, each)), Promise.resolve()
      )
      this.frame = frame
      this.ready = load(frame, url)
    }

    postMessage(data) {
      this.ready.then(() => {
        this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }))
      })
    }

    terminate() {
      this.frame.remove()
    }
  }

  function load(frame, url) {
    return new Promise((resolve, reject) => {
      const script = frame.contentDocument.createElement("script")
      script.onload = resolve
      script.onerror = () => reject(new Error(`${url} could not be loaded`))
      script.src = url
      frame.contentDocument.body.append(script)
    })
  }
}
