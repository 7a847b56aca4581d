import jakarta.servlet.ServletOutputStream;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.io.InputStream;
import java.util.Collections;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** The whole application: one servlet that shows what reached this node. Every answer names the node. */
public final class Gate extends HttpServlet {
    private static final String NODE = System.getProperty("node", "unnamed");

    /** How often a request with this tag has arrived; a repeated POST would show here. */
    private static final ConcurrentHashMap<String, AtomicInteger> SEEN = new ConcurrentHashMap<>();

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setHeader("X-Node", NODE);
        String tag = request.getHeader("X-Tag");
        if (tag != null) {
            SEEN.computeIfAbsent(tag, name -> new AtomicInteger()).incrementAndGet();
        }
        switch (request.getRequestURI()) {
            case "/health" -> text(response, "ok\n");
            case "/echo" -> echo(request, response);
            case "/slow" -> slow(request, response);
            case "/big" -> big(request, response);
            case "/chunked" -> chunked(request, response);
            case "/sse" -> events(request, response);
            case "/seen" -> seen(request, response);
            case "/digest" -> digest(request, response);
            default -> show(request, response);
        }
    }

    private static void text(HttpServletResponse response, String text) throws IOException {
        response.setContentType("text/plain");
        response.getWriter().write(text);
    }

    /** Node, session, counter and received headers as JSON. */
    private static void show(HttpServletRequest request, HttpServletResponse response) throws IOException {
        HttpSession session = request.getSession();
        int counter;
        synchronized (session.getId().intern()) {
            Object before = session.getAttribute("counter");
            counter = before == null ? 1 : (Integer) before + 1;
            session.setAttribute("counter", counter);
        }
        StringBuilder json = new StringBuilder("{");
        member(json, "node", NODE).append(',');
        member(json, "session", session.getId()).append(',');
        json.append("\"counter\":").append(counter).append(',');
        member(json, "method", request.getMethod()).append(',');
        member(json, "uri", request.getRequestURI()).append(',');
        member(json, "query", request.getQueryString() == null ? "" : request.getQueryString()).append(',');
        json.append("\"headers\":{");
        String gap = "";
        for (String name : Collections.list(request.getHeaderNames())) {
            json.append(gap);
            member(json, name.toLowerCase(), String.join(", ", Collections.list(request.getHeaders(name))));
            gap = ",";
        }
        json.append("}}\n");
        response.setContentType("application/json;charset=UTF-8");
        response.getWriter().write(json.toString());
    }

    private static StringBuilder member(StringBuilder json, String name, String value) {
        return quote(quote(json, name).append(':'), value);
    }

    private static StringBuilder quote(StringBuilder json, String text) {
        json.append('"');
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                json.append('\\').append(c);
            } else if (c < 0x20) {
                json.append(String.format("\\u%04x", (int) c));
            } else {
                json.append(c);
            }
        }
        return json.append('"');
    }

    /** Sends the body back as it comes, so that both directions run at once. */
    private static void echo(HttpServletRequest request, HttpServletResponse response) throws IOException {
        if (request.getContentType() != null) {
            response.setContentType(request.getContentType());
        }
        if (request.getContentLengthLong() >= 0) {
            response.setContentLengthLong(request.getContentLengthLong());
        }
        request.getInputStream().transferTo(response.getOutputStream());
    }

    private static void slow(HttpServletRequest request, HttpServletResponse response) throws IOException {
        try {
            Thread.sleep(Long.parseLong(request.getParameter("ms")));
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
        text(response, NODE + "\n");
    }

    /** The byte at each offset is the offset modulo 251, so that a gap or a repeat is seen. */
    private static void big(HttpServletRequest request, HttpServletResponse response) throws IOException {
        long left = Long.parseLong(request.getParameter("bytes"));
        response.setContentType("application/octet-stream");
        response.setContentLengthLong(left);
        ServletOutputStream out = response.getOutputStream();
        byte[] step = new byte[251 * 64];
        for (int i = 0; i < step.length; i++) {
            step[i] = (byte) (i % 251);
        }
        while (left > 0) {
            int now = (int) Math.min(left, step.length);
            out.write(step, 0, now);
            left -= now;
        }
    }

    private static void chunked(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String pieces = request.getParameter("pieces");
        ServletOutputStream out = response.getOutputStream();
        response.setContentType("text/plain");
        for (int i = 0; i < (pieces == null ? 5 : Integer.parseInt(pieces)); i++) {
            out.print("piece " + i + "\n");
            out.flush();
        }
    }

    private static void events(HttpServletRequest request, HttpServletResponse response) throws IOException {
        int count = Integer.parseInt(request.getParameter("count"));
        long pause = Long.parseLong(request.getParameter("ms"));
        response.setContentType("text/event-stream");
        ServletOutputStream out = response.getOutputStream();
        try {
            for (int i = 0; i < count; i++) {
                out.print("data: " + i + "\n\n");
                out.flush();
                Thread.sleep(pause);
            }
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private static void seen(HttpServletRequest request, HttpServletResponse response) throws IOException {
        AtomicInteger count = SEEN.get(request.getParameter("tag"));
        text(response, String.valueOf(count == null ? 0 : count.get()));
    }

    /** Length of an upload, and whether it holds the bytes that `/big` would send. */
    private static void digest(HttpServletRequest request, HttpServletResponse response) throws IOException {
        InputStream in = request.getInputStream();
        byte[] step = new byte[64 * 1024];
        long at = 0;
        boolean right = true;
        for (int got = in.read(step); got >= 0; got = in.read(step)) {
            for (int i = 0; i < got; i++, at++) {
                right &= step[i] == (byte) (at % 251);
            }
        }
        text(response, at + " " + (right ? "right" : "wrong") + "\n");
    }
}
