package embedded

// officialMirror is where MongoDB publishes its archives.
const officialMirror = "https://fastdl.mongodb.org"
